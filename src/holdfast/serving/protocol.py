"""The Open Inference Protocol, version 2, over HTTP: bodies to arrays, and arrays to bodies.

Owns inference: JSON, the extension for binary tensors, requested outputs and the extension for
classification. Leaves what is told of models to `serving/metadata`, types to `serving/datatypes`.

What is decided here, where the protocol leaves it open:

    a datatype that is not the model's  is refused: the metadata says which it is
    parameters not known                are ignored; those of shared memory are refused
    an empty batch                      is refused
    NaN and Infinity                    are taken; answered as null in JSON, as they are in binary
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.errors import InputError
from holdfast.judge.signature import Feed, Signature, Tensor, checked, shown
from holdfast.serving import json_text
from holdfast.serving.datatypes import (
    NAMES,
    datatype,
    from_bytes,
    from_json,
    nested,
    to_bytes,
    to_json,
)
from holdfast.serving.refusal import RequestError
from holdfast.types import Json

LONGEST = 1000
"""Letters of a name or an id: they are repeated in answers."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """An output that was asked for.

    Args:
        name: of it.
        binary: whether as bytes after the JSON.
        classes: how many of the best classes are wanted instead of the numbers, or 0.
    """

    name: str
    binary: bool = False
    classes: int = 0


@dataclass(frozen=True, slots=True)
class InferRequest:
    """A request to infer, read and checked.

    Args:
        id: that the answer repeats.
        feed: the inputs by name, as `signature.checked` returns them; one row or more.
        wanted: the outputs to answer with, in this order.
    """

    id: str | None
    feed: Feed
    wanted: tuple[Wanted, ...]


def header_length(value: str | bytes | None) -> int | None:
    """Return how many bytes of a body are its JSON.

    Args:
        value: of the header Inference-Header-Content-Length, or None.

    Raises:
        RequestError: it is not a number.
    """
    if value is None:
        return None
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise RequestError(
            f"Inference-Header-Content-Length: expected a number of bytes, found {text[:40]!r}"
        )
    return int(text)


def read_infer(body: bytes, header_length: int | None, signature: Signature) -> InferRequest:
    """Return a request to infer.

    Args:
        body: of the request, decompressed.
        header_length: how many bytes of it are JSON, or None where all are.
        signature: of the model.

    Raises:
        RequestError: it is not of the protocol, or not for this model.
    """
    whole = memoryview(body)
    if header_length is not None and header_length > len(body):
        raise RequestError(
            f"Inference-Header-Content-Length is {header_length}, and the body has {len(body)}"
        )
    request = _object(json_text.read(whole[:header_length]), "the request")
    if "inputs" not in request:
        raise RequestError('expected {"inputs": [...]}, found no "inputs"')
    tail = _Tail(whole[header_length:] if header_length is not None else None)
    given: dict[str, NDArray[Any]] = {}
    try:
        for part in _list(request["inputs"], "inputs"):
            tensor, array = _input(part, tail, signature)
            if tensor.name in given:
                raise RequestError(f"{tensor.name} is given twice")
            given[tensor.name] = array
        tail.used_up()
        feed = checked(signature, given)
        wanted = _wanted(request, signature)
    except InputError as error:
        raise RequestError(str(error)) from None
    return InferRequest(_id(request), feed, wanted)


def write_infer(
    request: InferRequest,
    outputs: Feed,
    model_name: str,
    version: str,
    classes: Sequence[str] = (),
) -> tuple[bytes, int | None]:
    """Return an answer's body, and how many bytes of it are JSON, or None where all are.

    Args:
        request: what is answered.
        outputs: of the model, all of them, by name.
        model_name: of the model.
        version: that computed it.
        classes: names of the classes, for the model's first output.
    """
    parts: list[dict[str, Json]] = []
    tail: list[bytes] = []
    for wanted in request.wanted:
        array = outputs[wanted.name]
        if wanted.classes:
            names = classes if wanted.name == next(iter(outputs)) else ()
            array = _best(array, wanted.classes, names)
        part: dict[str, Json] = {
            "name": wanted.name,
            "datatype": datatype(array),
            "shape": list(array.shape),
        }
        if wanted.binary:
            raw = to_bytes(array)
            tail.append(raw)
            part["parameters"] = {"binary_data_size": len(raw)}
        else:
            part["data"] = to_json(array.reshape(-1))
        parts.append(part)
    answer: dict[str, Json] = {"model_name": model_name, "model_version": version}
    if request.id is not None:
        answer["id"] = request.id
    answer["outputs"] = parts
    head = json_text.write(answer)
    if not any(wanted.binary for wanted in request.wanted):
        return head, None
    return b"".join([head, *tail]), len(head)


class _Tail:
    """The bytes after the JSON, handed out in order."""

    def __init__(self, rest: memoryview | None) -> None:
        self._rest = rest

    def take(self, size: int, name: str) -> memoryview:
        if self._rest is None:
            raise RequestError(
                f"{name}: binary_data_size needs the header Inference-Header-Content-Length, which "
                "says where the JSON ends and the bytes begin"
            )
        if size > len(self._rest):
            raise RequestError(
                f"{name}: binary_data_size is {size}, and the body has {len(self._rest)} bytes left"
            )
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken

    def used_up(self) -> None:
        if self._rest:
            raise RequestError(f"{len(self._rest)} bytes in the body belong to no input")


def _input(part: Json, tail: _Tail, signature: Signature) -> tuple[Tensor, NDArray[Any]]:
    part = _object(part, "an input")
    tensor = signature.input(_string(part, "name", "an input"))
    name = tensor.name
    expected = NAMES[tensor.dtype]
    found = _string(part, "datatype", name)
    if found != expected:
        raise RequestError(f"{name}: expected datatype {expected}, found {found[:40]!r}")
    shape = _shape(part, tensor)
    parameters = _parameters(part, name)
    if "binary_data_size" in parameters:
        size = _count(parameters["binary_data_size"], f"{name}: binary_data_size")
        raw = tail.take(size, name)
        if "data" in part:
            raise RequestError(f"{name}: has both data and binary_data_size; give one of them")
        return tensor, from_bytes(raw, expected, shape, name)
    if "data" not in part:
        raise RequestError(
            f"{name}: expected data, or binary_data_size in its parameters; found neither"
        )
    flat, nesting = nested(part["data"], name)
    if len(flat) != math.prod(shape) or nesting not in (shape, (len(flat),)):
        raise RequestError(
            f"{name}: expected {math.prod(shape)} values for the shape {shown(shape)}, flat or "
            f"nested like it; found {shown(nesting)}"
        )
    return tensor, from_json(flat, tensor.dtype, name).reshape(shape)


def _shape(part: dict[str, Json], tensor: Tensor) -> tuple[int, ...]:
    """Return the declared shape, which is one of the model's and has room for something."""
    shape = _list(part.get("shape"), f"{tensor.name}: shape")
    sizes = tuple(_count(size, f"{tensor.name}: shape") for size in shape)
    if len(sizes) != len(tensor.shape) or any(
        size not in (None, found) or found == 0
        for size, found in zip(tensor.shape, sizes, strict=True)
    ):
        raise RequestError(
            f"{tensor.name}: expected shape {shown(tensor.shape)} (? is one or more), found "
            f"{shown(sizes)[:80]}"
        )
    return sizes


def _wanted(request: dict[str, Json], signature: Signature) -> tuple[Wanted, ...]:
    binary = _flag(_parameters(request, "the request"), "binary_data_output", False)
    asked = _list(request.get("outputs", []), "outputs")
    if not asked:
        return tuple(Wanted(tensor.name, binary) for tensor in signature.outputs)
    wanted = [_output(part, binary, signature) for part in asked]
    names = [output.name for output in wanted]
    for name in names:
        if names.count(name) > 1:
            raise RequestError(f"the output {name} is asked for twice")
    return tuple(wanted)


def _output(part: Json, binary: bool, signature: Signature) -> Wanted:
    part = _object(part, "an output")
    tensor = signature.output(_string(part, "name", "an output"))
    parameters = _parameters(part, tensor.name)
    classes = 0
    if "classification" in parameters:
        classes = _count(parameters["classification"], f"{tensor.name}: classification")
        if classes and (len(tensor.shape) < 2 or tensor.dtype == "string"):
            raise RequestError(f"{tensor.name}: {tensor} has no classes to choose the best of")
    return Wanted(tensor.name, _flag(parameters, "binary_data", binary), classes)


def _best(array: NDArray[Any], count: int, classes: Sequence[str]) -> NDArray[Any]:
    """Return `value:index` or `value:index:name` of each row's best, the best first."""
    rows = array.reshape(len(array), -1)
    order = np.argsort(-rows.astype(np.float64), axis=1, kind="stable")[:, :count]
    named = len(classes) == rows.shape[1]
    texts = [
        [f"{rows[row, at]}:{at}" + (f":{classes[at]}" if named else "") for at in best]
        for row, best in enumerate(order.tolist())
    ]
    return np.array(texts, dtype=object).reshape(order.shape)


def _id(request: dict[str, Json]) -> str | None:
    return _string(request, "id", "the request") if "id" in request else None


def _parameters(part: dict[str, Json], where: str) -> dict[str, Json]:
    parameters = _object(part.get("parameters", {}), f"{where}: parameters")
    for name in parameters:
        if name.startswith("shared_memory_"):
            raise RequestError(
                f"{where}: {name}: this server shares no memory with its clients; send the data"
            )
    return parameters


def _object(value: Json, where: str) -> dict[str, Json]:
    if type(value) is not dict:
        raise RequestError(f"{where}: expected an object, found {type(value).__name__}")
    return value


def _list(value: Json, where: str) -> list[Json]:
    if type(value) is not list:
        raise RequestError(f"{where}: expected a list, found {type(value).__name__}")
    return value


def _string(part: dict[str, Json], key: str, where: str) -> str:
    value = part.get(key)
    if type(value) is not str:
        raise RequestError(f"{where}: expected a text as {key!r}, found {type(value).__name__}")
    if len(value) > LONGEST:
        raise RequestError(
            f"{where}: expected {LONGEST} letters at most as {key!r}, found {len(value)}"
        )
    return value


def _count(value: Json, where: str) -> int:
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is not int or not 0 <= value < 2**63:
        raise RequestError(f"{where}: expected a whole number, 0 or more, found {str(value)[:40]}")
    return value


def _flag(parameters: dict[str, Json], key: str, default: bool) -> bool:
    value = parameters.get(key, default)
    if type(value) is not bool:
        raise RequestError(f"{key}: expected true or false, found {type(value).__name__}")
    return value
