"""From the imports to the first answer, in a new process: `first.py CONTENDER FOLDER`.

Prints the seconds. The start of Python itself is not in them.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any


def judge(path: Path) -> Any:
    import numpy as np

    from holdfast.judge import load

    return load(path)(np.zeros((1, 784), "float32"))


def onnxruntime(path: Path) -> Any:
    import numpy as np
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: np.zeros((1, 784), "float32")})


def litert(path: Path) -> Any:
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], np.zeros((1, 784), "f4"))
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def predict(path: Path) -> Any:
    import keras
    import numpy as np

    return keras.saving.load_model(path).predict(np.zeros((1, 784), "float32"), verbose=0)


CONTENDERS = {
    "judge-onnx": (judge, "mlp.onnx"),
    "judge-tflite": (judge, "mlp.tflite"),
    "judge-keras": (judge, "mlp.keras"),
    "onnxruntime": (onnxruntime, "mlp.onnx"),
    "litert": (litert, "mlp.tflite"),
    "keras": (predict, "mlp.keras"),
}


if __name__ == "__main__":
    program, file = CONTENDERS[sys.argv[1]]
    path = Path(sys.argv[2]) / file
    began = time.perf_counter()
    program(path)
    print(json.dumps({"first": time.perf_counter() - began}))
