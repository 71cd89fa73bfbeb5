"""What a model can be exported to: the formats, what they need, and which name means which.

Owns the literal table. Leaves writing each to the modules named after them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path

from holdfast.errors import FormatError, MissingExtraError, did_you_mean
from holdfast.formats.writing import ending_of


@dataclass(frozen=True)
class Kind:
    """A format.

    Args:
        name: of it.
        backend: of Keras in the child process that writes it; None where this process does.
        extra: of Holdfast, that brings what it needs.
        needs: modules that must be there, with the names of their packages.
        quantized: whether it can be had in int8 and float16.
    """

    name: str
    backend: str | None
    extra: str
    needs: Mapping[str, str]
    quantized: bool = False


_TENSORFLOW = {"tensorflow": "TensorFlow"}
KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            "onnx",
            "tensorflow",
            "onnx",
            {"onnx": "onnx", "onnxruntime": "onnxruntime", "tf2onnx": "tf2onnx", **_TENSORFLOW},
            quantized=True,
        ),
        Kind(
            "tflite",
            "tensorflow",
            "litert",
            {"ai_edge_litert": "ai-edge-litert", **_TENSORFLOW},
            quantized=True,
        ),
        Kind("saved_model", "tensorflow", "tensorflow", _TENSORFLOW),
        Kind("stablehlo", "jax", "jax", {"jax": "jax"}),
        Kind("keras", None, "", {}),
        Kind("h5", None, "", {}),
        Kind("safetensors", None, "", {}),
    )
}

ENDINGS: Mapping[str, str] = {
    ".onnx": "onnx",
    ".tflite": "tflite",
    ".stablehlo": "stablehlo",
    ".keras": "keras",
    ".h5": "h5",
    ".hdf5": "h5",
    ".safetensors": "safetensors",
    "": "saved_model",
}
"""What the endings mean. A name without one is a SavedModel's directory."""


def kind_of(target: Path, to: str | None) -> Kind:
    """Return the format of a target.

    Args:
        target: what is to be written.
        to: the format's name; None for what the ending says.

    Raises:
        FormatError: there is no such format, or the ending says none.
    """
    if to is not None:
        if to not in KINDS:
            raise FormatError(f"{to!r} is no format{did_you_mean(to, KINDS)}: use {_listed(KINDS)}")
        return KINDS[to]
    if target.name.endswith(".weights.h5"):
        raise FormatError(
            f"{target} names a file of weights, and a whole model is exported: leave out .weights"
        )
    ending = ending_of(target)
    if ending not in ENDINGS:
        endings = [known for known in ENDINGS if known]
        raise FormatError(
            f"{target} ends in {ending!r}, which is no format that can be exported to"
            f"{did_you_mean(ending, endings)}: end the name in {_listed(endings)}, in nothing for "
            "a SavedModel's directory, or say which by --to"
        )
    return KINDS[ENDINGS[ending]]


def check_installed(kind: Kind, target: Path) -> None:
    """Refuse a format that needs what is not installed.

    Raises:
        MissingExtraError: names the package and the extra.
    """
    for module, package in kind.needs.items():
        # Not find_spec: a program may have put something in TensorFlow's place.
        if PathFinder.find_spec(module) is None:
            raise MissingExtraError(package, kind.extra, f"Writing {target}")


def _listed(names: Mapping[str, object] | list[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} or {last}"
