"""JSON Schemas of what a model takes and gives, made of its signature.

Owns the schemas. Leaves paths and answers that are no outputs to `serving/openapi`.

A schema cannot say that two lists are of one length. So a batch in the Open Inference Protocol is
described for one row and for two, and a dimension of any length with one of them; the words beside
say what else is taken.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from holdfast.judge.signature import Signature, Tensor
from holdfast.prediction.bounds import largest
from holdfast.serving.datatypes import NAMES
from holdfast.serving.protocol import LONGEST
from holdfast.types import Json

ANY = 8
"""The length that stands for any."""


def infer_request(signature: Signature) -> Json:
    """Return the schema of a request to infer."""
    return {
        "description": "One row and two are described here; more go the same way. The first number "
        "of each shape is the number of rows.",
        "anyOf": [_infer_request(signature, rows) for rows in _rows(signature)],
    }


def infer_answer(signature: Signature) -> Json:
    """Return the schema of the answer to it, as JSON."""
    names = [tensor.name for tensor in signature.outputs]
    return {
        "type": "object",
        "required": ["model_name", "model_version", "outputs"],
        "properties": {
            "model_name": {"type": "string"},
            "model_version": {"type": "string"},
            "id": {"type": "string", "description": "of the request, where it had one"},
            "outputs": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["name", "datatype", "shape"],
                    "properties": {
                        "name": {"enum": names},
                        "datatype": {"enum": sorted(NAMES.values())},
                        "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
                        "data": {
                            "type": "array",
                            "description": "flat, row by row; null for what is not finite",
                        },
                        "parameters": {"type": "object"},
                    },
                },
            },
        },
    }


def predict_request(signature: Signature) -> Json:
    """Return the schema of what people send."""
    given = _given(signature)
    return {
        "anyOf": [
            _object({"inputs": given}, ["inputs"]),
            _object({"instances": given}, ["instances"]),
            *given["anyOf"],
        ]
    }


def predict_answer(signature: Signature, classes: Sequence[str]) -> Json:
    """Return the schema of what people get."""
    outputs = {tensor.name: _answered(tensor.sample, tensor.dtype) for tensor in signature.outputs}
    of: Json = {"enum": [*classes, None]} if classes else {"type": ["integer", "null"]}
    prediction = _object(
        {
            "class": {**of, "description": "the likeliest, by name or by place"},
            "probability": {"type": ["number", "null"], "description": "of this class"},
            "outputs": _object(outputs, list(outputs)),
        },
        ["outputs"],
    )
    return _object(
        {
            "model": {"type": "string"},
            "version": {"type": "string"},
            "predictions": {"type": "array", "minItems": 1, "items": prediction},
        },
        ["model", "version", "predictions"],
    )


def csv(signature: Signature) -> Json:
    """Return the schema of the lines of a table, or None where a pattern cannot say them."""
    if len(signature.inputs) > 1:
        return None
    (tensor,) = signature.inputs
    if (
        tensor.shape[0] is not None
        or tensor.dtype == "string"
        or np.dtype(_plain(tensor.dtype)).kind == "b"
    ):
        return None
    whole = np.dtype(_plain(tensor.dtype)).kind in "iu"
    number = "[0-9]{1,2}" if whole else r"-?[0-9]{1,3}(\.[0-9]{1,4})?"
    width = math.prod(_sizes(tensor.sample))
    line = number if width == 1 else f"({number},){{{width - 1}}}{number}"
    return {"type": "string", "pattern": f"^{line}(\n{line}){{0,3}}\n?$"}


def example(tensor: Tensor, rows: int) -> Json:
    """Return a batch that an input takes, of values that say nothing."""
    value: Json = {"string": "text"}.get(tensor.dtype, 0)
    if tensor.dtype == "bool":
        value = False
    for size in reversed([rows, *_sizes(tensor.sample)]):
        value = [value] * size
    return value


def predict_example(signature: Signature) -> Json:
    """Return what a person may send."""
    rows = _rows(signature)[-1 if len(signature.inputs) > 1 else 0]
    return {"inputs": {tensor.name: example(tensor, rows) for tensor in signature.inputs}}


def infer_example(signature: Signature) -> Json:
    """Return a request to infer one row."""
    inputs = []
    for tensor in signature.inputs:
        rows = _rows(signature)[0]
        shape = [rows, *_sizes(tensor.sample)]
        inputs.append(
            {
                "name": tensor.name,
                "shape": shape,
                "datatype": NAMES[tensor.dtype],
                "data": example(tensor, rows),
            }
        )
    return {"inputs": inputs}


def _infer_request(signature: Signature, rows: int) -> Json:
    inputs = [_input(tensor, rows) for tensor in signature.inputs]
    outputs = [_output(tensor) for tensor in signature.outputs]
    return {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string", "maxLength": LONGEST, "description": "the answer repeats it"},
            "inputs": _tuple(inputs),
            "outputs": {
                "description": "which outputs are wanted, in which order; none for all",
                "anyOf": [
                    {"type": "array", "maxItems": 1, "items": {"anyOf": outputs}},
                    _tuple(outputs),
                ],
            },
            "parameters": _parameters(
                {
                    "binary_data_output": {
                        "type": "boolean",
                        "description": "outputs as bytes after the JSON, unless they say otherwise",
                    }
                }
            ),
        },
    }


def _input(tensor: Tensor, rows: int) -> Json:
    shape = [rows, *_sizes(tensor.sample)]
    value = _value(tensor.dtype)
    flat = {**_list(value, math.prod(shape)), "description": "flat, row by row"}
    return {
        "type": "object",
        "required": ["name", "shape", "datatype", "data"],
        "properties": {
            "name": {"const": tensor.name},
            "shape": {"const": shape, "description": _words(tensor)},
            "datatype": {"const": NAMES[tensor.dtype]},
            "data": {"anyOf": [flat, _nested(shape, value)]} if len(shape) > 1 else flat,
            "parameters": _parameters({}, "binary_data_size"),
        },
    }


def _output(tensor: Tensor) -> Json:
    parameters: dict[str, Json] = {
        "binary_data": {"type": "boolean", "description": "as bytes after the JSON"}
    }
    if len(tensor.shape) > 1 and tensor.dtype != "string":
        parameters["classification"] = {
            "type": "integer",
            "minimum": 0,
            "maximum": 2**63 - 1,
            "description": "so many of the best classes, as value:place:name; 0 for the numbers",
        }
    return {
        "type": "object",
        "required": ["name"],
        "properties": {"name": {"const": tensor.name}, "parameters": _parameters(parameters)},
    }


def _parameters(properties: dict[str, Json], *never: str) -> Json:
    forbidden: list[Json] = [{"const": name} for name in never]
    forbidden.append({"pattern": "^shared_memory_"})
    return {
        "type": "object",
        "description": "others are ignored",
        "properties": properties,
        "propertyNames": {"not": {"anyOf": forbidden}},
    }


def _given(signature: Signature) -> dict[str, Json]:
    """Return the schema of what is in a request: by the inputs' names or, of one input, bare."""
    tensors = signature.inputs
    if _fixed(signature) not in (None, 1):
        batches = {tensor.name: _list(_sample(tensor), _rows(signature)[0]) for tensor in tensors}
        return {"anyOf": [_object(batches, list(batches))]}
    samples = {tensor.name: _sample(tensor) for tensor in tensors}
    names = list(samples)
    of_one = _object(samples, names)
    bound = {} if _fixed(signature) is None else {"maxItems": 1}
    forms = [of_one, {"type": "array", "minItems": 1, "items": of_one, **bound}]
    if len(tensors) == 1:
        batch = {"type": "array", "minItems": 1, "items": _sample(tensors[0]), **bound}
        forms += [_sample(tensors[0]), batch, _object({names[0]: batch}, names)]
    else:
        rows = _rows(signature)[-1]
        lists = {tensor.name: _list(_sample(tensor), rows) for tensor in tensors}
        words = "others go the same way, as many of each input"
        forms.append({**_object(lists, names), "description": f"{rows} samples; {words}"})
    return {"anyOf": forms}


def _sample(tensor: Tensor) -> Json:
    value = _value(tensor.dtype)
    return {**_nested(_sizes(tensor.sample), value), "description": f"a sample: {_words(tensor)}"}


def _nested(shape: Sequence[int], value: Json) -> Json:
    for size in reversed(shape):
        value = _list(value, size)
    return value


def _answered(shape: Sequence[int | None], dtype: str) -> Json:
    value: Json = {"type": ["number", "null"]}
    if dtype in ("string", "bool"):
        value = {"type": "string" if dtype == "string" else "boolean"}
    for size in reversed(shape):
        value = {"type": "array", "items": value} if size is None else _list(value, size)
    return value


def _value(dtype: str) -> Json:
    if dtype == "string":
        return {"type": "string"}
    kind = np.dtype(_plain(dtype))
    if kind.kind == "b":
        return {"type": "boolean"}
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        return {"type": "integer", "minimum": int(limits.min), "maximum": int(limits.max)}
    return {"type": "number", "minimum": -largest(dtype), "maximum": largest(dtype)}


def _plain(dtype: str) -> str:
    return "float32" if dtype == "bfloat16" else dtype


def _fixed(signature: Signature) -> int | None:
    """Return the only number of rows that a model takes, or None where it takes any."""
    return next((tensor.shape[0] for tensor in signature.inputs if tensor.shape[0]), None)


def _rows(signature: Signature) -> tuple[int, ...]:
    """Return numbers of rows that the model takes."""
    fixed = _fixed(signature)
    return (1, 2) if fixed is None else (fixed,)


def _sizes(shape: Sequence[int | None]) -> list[int]:
    return [ANY if size is None else size for size in shape]


def _words(tensor: Tensor) -> str:
    free = ", where ? is any length" if None in tensor.sample else ""
    return f"{tensor}{free}; the first dimension is of the rows"


def _list(items: Json, size: int) -> dict[str, Json]:
    return {"type": "array", "items": items, "minItems": size, "maxItems": size}


def _tuple(items: list[Json]) -> Json:
    size = len(items)
    return {"type": "array", "prefixItems": items, "minItems": size, "maxItems": size}


def _object(properties: dict[str, Json], required: list[str]) -> dict[str, Json]:
    return {
        "type": "object",
        "required": required,
        "properties": properties,
        "additionalProperties": False,
    }
