"""A real `holdfast serve` in a process of its own, and a small model to serve."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np

HOLDFAST = Path(sys.executable).with_name("holdfast")
CLASSES = ("round", "straight", "crossed")


class Server:
    """A server that runs.

    Args:
        process: that it is.
        port: at which it listens on 127.0.0.1.
        log: the file of its standard error.
    """

    def __init__(self, process, port, log):
        self.process = process
        self.port = port
        self.log = log

    def connect(self, timeout=30):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def ask(self, method, path, body=None, headers=()):
        """Return an answer's status, headers and body."""
        connection = self.connect()
        try:
            connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def json(self, path, body=None, **headers):
        """Return an answer of 200, read as JSON."""
        method = "GET" if body is None else "POST"
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        text = None if body is None else json.dumps(body)
        status, _, answer = self.ask(method, path, text, headers)
        assert status == 200, answer
        return json.loads(answer)

    def stop(self):
        """End it as a supervisor does, and return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@contextmanager
def serving(path, log, *options, token=None):
    """Start a server on a free port, and end it."""
    environment = os.environ | ({"HOLDFAST_TOKEN": token} if token else {})
    command = [str(HOLDFAST), "serve", str(path), "--port", "0", *options]
    with log.open("w") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment
        )
    try:
        line = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)$", line.strip())
        assert found, f"{line!r} {log.read_text()!r}"
        yield Server(process, int(found[1]), log)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(60)
        process.stdout.close()


def small_model(path):
    """Write an .onnx that takes images of 8 x 8 and gives three classes' probabilities.

    Returns:
        A function that computes the same.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    from holdfast.judge.about import About, to_json

    random = np.random.default_rng(3)
    kernel = random.normal(0, 0.3, (64, 3)).astype("float32")
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "kernel"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["shape"], axis=-1),
    ]
    graph = helper.make_graph(
        nodes,
        "shapes",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 8, 8, 1])],
        [helper.make_tensor_value_info("shape", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(kernel, "kernel")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    about = About(name="shapes", classes=CLASSES, inputs={"image": "8x8 pixels, 0 to 1"})
    made.metadata_props.add(key="holdfast", value=to_json(about))
    onnx.save(made, path)

    def judged(images):
        logits = images.reshape(len(images), 64) @ kernel
        powers = np.exp(logits - logits.max(-1, keepdims=True))
        return powers / powers.sum(-1, keepdims=True)

    return judged


def images(count, seed=0):
    """Return images of 8 x 8."""
    return np.random.default_rng(seed).random((count, 8, 8, 1), dtype="float32")


def infer_request(batch, output_binary=True):
    """Return the body and the headers of a request with binary tensors."""
    part = {
        "name": "image",
        "datatype": "FP32",
        "shape": list(batch.shape),
        "parameters": {"binary_data_size": batch.nbytes},
    }
    request = {"inputs": [part], "parameters": {"binary_data_output": output_binary}}
    head = json.dumps(request).encode()
    return head + batch.tobytes(), {"Inference-Header-Content-Length": str(len(head))}


def binary_answer(headers, body):
    """Return the array of an answer with one binary output."""
    length = int(headers["Inference-Header-Content-Length"])
    (output,) = json.loads(body[:length])["outputs"]
    return np.frombuffer(body[length:], "float32").reshape(output["shape"])
