"""What people send to `POST /predict`, to a model's inputs.

Owns the forms that are taken, and fitting what was sent to the model's shapes. Leaves the formats
to `serving/npy`, `serving/form` and `prediction`, and the answer to `serving/answers`.

    application/json      {"inputs": …}, {"instances": …}, or what is in them alone: one sample or a
                          list of samples; for a model of several inputs an object by their names,
                          or a list of such objects, one a sample
    text/csv              a line a sample; a header may name the columns
    application/x-npy     an array, for a model of one input
    image/*               one image, for a model that takes images
    multipart/form-data   a file of one of these kinds

A sample whose shape is known may be flat: 64 numbers where the model takes [8, 8, 1].
"""

from __future__ import annotations

import io
import math
from typing import Any

from numpy.typing import NDArray

from holdfast.errors import InputError, MissingExtraError
from holdfast.judge.about import About
from holdfast.judge.signature import Feed, Signature, Tensor, checked, shown
from holdfast.prediction import images, tables
from holdfast.serving import form, json_text, npy
from holdfast.serving.datatypes import from_json, nested
from holdfast.serving.protocol import LONGEST
from holdfast.serving.refusal import RequestError
from holdfast.types import Json

_WRAPPED = ("inputs", "instances")
_TYPES = "application/json, text/csv, application/x-npy, image/* or multipart/form-data"
_BODY = "the body"
_SPARE = 1000  # columns of a table beside the model's


def read(content_type: str, body: bytes, signature: Signature, about: About) -> Feed:
    """Return the inputs of a model, with one row or more.

    Args:
        content_type: of the request; none, and a form's without a form, are what `curl -d` sends,
            and mean JSON. An npy file is known by its first bytes.
        body: decompressed.
        signature: of the model.
        about: what is known of the model: how it takes images.

    Raises:
        RequestError: the body cannot be read or is not what the model takes (400), or the type is
            none of those above, or an image without Pillow to read it (415).
    """
    try:
        return checked(signature, _given(content_type, body, signature, about))
    except InputError as error:
        raise RequestError(str(error)) from None
    except MissingExtraError:
        raise RequestError(
            "this server cannot read images: it was installed without holdfast[images]; send "
            "numbers",
            415,
        ) from None


def is_slow(content_type: str) -> bool:
    """Whether a small body may take long to read: an image unpacks to many times its size."""
    return _kind(content_type).startswith(("image/", "multipart/"))


def _given(content_type: str, body: bytes, signature: Signature, about: About) -> Feed:
    kind = _kind(content_type)
    if kind == "multipart/form-data":
        content_type, body = form.file(content_type, body)
        kind = _kind(content_type)
    if body.startswith(npy.MAGIC):
        tensor = _only(signature)
        return {tensor.name: _fitted(tensor, npy.read(body))}
    if kind in ("", "application/json", "application/x-www-form-urlencoded"):
        return _from_json(json_text.read(body), signature)
    if kind == "text/csv":
        return tables.feed(_table(body, signature), signature, _BODY)
    if kind.startswith("image/"):
        tensor = _only(signature)
        sample = images.sample(io.BytesIO(body), images.form(tensor, about), _BODY)
        return {tensor.name: sample[None]}
    if kind in ("application/x-npy", "application/octet-stream"):
        raise RequestError(f"{kind}: expected an npy file, and the body does not begin like one")
    raise RequestError(f"expected {_TYPES}, found {kind[:80]!r}", 415)


def _from_json(value: Json, signature: Signature) -> Feed:
    if type(value) is dict and len(value) == 1 and next(iter(value)) in _WRAPPED:
        (value,) = value.values()
    if type(value) is dict:
        return {name: _part(_named(signature, name), part) for name, part in value.items()}
    if type(value) is list and value and set(map(type, value)) == {dict}:
        return _samples(value, signature)
    if len(signature.inputs) > 1:
        names = ", ".join(f'"{tensor.name}": …' for tensor in signature.inputs)
        raise RequestError(
            f"the model has {len(signature.inputs)} inputs: give them by name, "
            f'{{"inputs": {{{names}}}}}'
        )
    tensor = signature.inputs[0]
    return {tensor.name: _part(tensor, value)}


def _samples(samples: list[dict[str, Json]], signature: Signature) -> Feed:
    """Return the batch of samples that are objects by the inputs' names."""
    names = samples[0].keys()
    for number, sample in enumerate(samples):
        if sample.keys() != names:
            raise RequestError(f"sample {number}: expected the names of the first, found others")
    tensors = [_named(signature, name) for name in names]
    return {
        tensor.name: _fitted(
            tensor, _array(tensor, [sample[tensor.name] for sample in samples]), True
        )
        for tensor in tensors
    }


def _part(tensor: Tensor, value: Json) -> NDArray[Any]:
    return _fitted(tensor, _array(tensor, value if type(value) is list else [value]))


def _array(tensor: Tensor, value: list[Json]) -> NDArray[Any]:
    flat, shape = nested(value, tensor.name)
    if len(shape) > len(tensor.shape) + 1:
        raise RequestError(
            f"{tensor.name}: expected samples of {tensor.dtype}{shown(tensor.sample)}, found lists "
            f"{len(shape)} deep"
        )
    return from_json(flat, tensor.dtype, tensor.name).reshape(shape)


def _fitted(tensor: Tensor, array: NDArray[Any], many: bool = False) -> NDArray[Any]:
    """Return a batch of the model's shape.

    Args:
        tensor: the input.
        array: a batch or, where `many` does not say that it is none, one sample; flat or not.
        many: whether it is a batch for sure.
    """
    if array.size and _like(array.shape, tensor.shape):
        return array
    if array.size and not many and _like(array.shape, tensor.sample):
        return array[None]
    if array.size and None not in tensor.sample:
        sample = tuple(size for size in tensor.sample if size is not None)
        flat = array[None] if array.ndim == 1 and not many else array
        if flat.ndim == 2 and flat.shape[1] == math.prod(sample):
            return flat.reshape(len(flat), *sample)
    raise RequestError(
        f"{tensor.name}: expected samples of {tensor.dtype}{shown(tensor.sample)}, one or a list "
        f"of them, found {shown(array.shape)[:80]}"
    )


def _like(found: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(found) == len(wanted) and all(
        size in (None, length) for size, length in zip(wanted, found, strict=True)
    )


def _named(signature: Signature, name: str) -> Tensor:
    return signature.input(name if len(name) <= LONGEST else name[:LONGEST])


def _only(signature: Signature) -> Tensor:
    if len(signature.inputs) > 1:
        names = ", ".join(tensor.name for tensor in signature.inputs)
        raise RequestError(f"the model has several inputs ({names}): give JSON, by name")
    return signature.inputs[0]


def _table(body: bytes, signature: Signature) -> str:
    """Return a table's text, unless it is far wider than the model: that would take long."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise RequestError("expected CSV in UTF-8, and the body is not") from None
    first = text.lstrip().partition("\n")[0]
    columns = max(map(first.count, ",;\t")) + 1
    width = sum(math.prod(size or 1 for size in tensor.sample) for tensor in signature.inputs)
    if columns > width + _SPARE and all(None not in tensor.sample for tensor in signature.inputs):
        raise RequestError(f"expected {width} columns of CSV, found {columns}")
    return text


def _kind(content_type: str) -> str:
    return content_type.split(";", maxsplit=1)[0].strip().lower()
