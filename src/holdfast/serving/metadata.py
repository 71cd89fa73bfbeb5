"""What is told of the server and its model: the Open Inference Protocol's metadata, and Triton's.

Owns the values, ready for JSON. Leaves counting to the server, and inference to `serving/protocol`.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable
from dataclasses import dataclass

from holdfast.judge.signature import Signature, Tensor
from holdfast.serving.datatypes import NAMES
from holdfast.types import Json

_EXTENSIONS = [
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    "statistics",
]


@dataclass(frozen=True, slots=True)
class Counts:
    """What a server has done since it began.

    Args:
        requests: answered with outputs.
        failed: that were not.
        executions: batches that the model was run on.
        rows: in them.
        request_seconds: of those answered with outputs together, until the answer.
        failed_seconds: of those that were not.
        queue_seconds: that requests have waited.
        run_seconds: that the model ran.
        last: when a request last came, as seconds since 1970, or 0.
    """

    requests: int = 0
    failed: int = 0
    executions: int = 0
    rows: int = 0
    request_seconds: float = 0.0
    failed_seconds: float = 0.0
    queue_seconds: float = 0.0
    run_seconds: float = 0.0
    last: float = 0.0


def server() -> dict[str, Json]:
    """Return what the server is."""
    version = importlib.metadata.version("holdfast")
    return {"name": "holdfast", "version": version, "extensions": _EXTENSIONS}


def model(signature: Signature, name: str, version: str) -> dict[str, Json]:
    """Return what a model takes and gives; -1 stands for any length."""
    return {
        "name": name,
        "versions": [version],
        "platform": "holdfast",
        "inputs": [_tensor(tensor) for tensor in signature.inputs],
        "outputs": [_tensor(tensor) for tensor in signature.outputs],
    }


def config(signature: Signature, name: str, version: str, most_batch: int) -> dict[str, Json]:
    """Return a model's configuration, as Triton has it.

    Args:
        signature: of the model.
        name: of it.
        version: of it.
        most_batch: rows that are joined to one batch; more in one request are taken too.
    """
    free = all(tensor.shape[:1] == (None,) for tensor in signature.inputs)
    return {
        "name": name,
        "platform": "",
        "backend": "holdfast",
        "version_policy": {"latest": {"num_versions": 1}},
        "max_batch_size": most_batch if free else 0,
        "input": _configured(signature.inputs, free),
        "output": _configured(signature.outputs, free),
    }


def index(name: str, version: str) -> list[Json]:
    """Return the models there are: one."""
    return [{"name": name, "version": version, "state": "READY", "reason": ""}]


def statistics(name: str, version: str, counts: Counts) -> dict[str, Json]:
    """Return what was done with a model; times are in nanoseconds."""
    return {
        "model_stats": [
            {
                "name": name,
                "version": version,
                "last_inference": int(counts.last * 1000),
                "inference_count": counts.rows,
                "execution_count": counts.executions,
                "inference_stats": {
                    "success": _duration(counts.requests, counts.request_seconds),
                    "fail": _duration(counts.failed, counts.failed_seconds),
                    "queue": _duration(counts.requests, counts.queue_seconds),
                    "compute_infer": _duration(counts.executions, counts.run_seconds),
                },
                "batch_stats": [],
            }
        ]
    }


def not_here(path: str) -> str:
    """Return what to say of a path of Triton's that this server has not, or of none at all."""
    for part, what in _TRITONS.items():
        if f"/{part}" in path:
            return what
    return "there is no such path here; /docs lists those there are"


_TRITONS = {
    "systemsharedmemory": "this server shares no memory with its clients; send the data",
    "cudasharedmemory": "this server shares no memory with its clients; send the data",
    "trace": "this server has no settings of traces; /metrics says what it does",
    "logging": "this server has no settings of its log",
    "repository": "this server serves one model, the one it was started with",
}


def _tensor(tensor: Tensor) -> dict[str, Json]:
    return {
        "name": tensor.name,
        "datatype": NAMES[tensor.dtype],
        "shape": [-1 if size is None else size for size in tensor.shape],
    }


def _configured(tensors: Iterable[Tensor], free: bool) -> list[Json]:
    kinds = {"BYTES": "STRING"}
    return [
        {
            "name": told["name"],
            "data_type": f"TYPE_{kinds.get(told['datatype'], told['datatype'])}",
            "dims": told["shape"][1:] if free else told["shape"],
        }
        for told in map(_tensor, tensors)
    ]


def _duration(count: int, seconds: float) -> dict[str, Json]:
    return {"count": count, "ns": int(seconds * 1e9)}
