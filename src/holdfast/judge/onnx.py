"""Runs `.onnx` by onnxruntime.

Owns what onnxruntime says of a model in Holdfast's words, and running it. Leaves checking inputs to
`judge/signature`, and what the file says of itself to `judge/carried`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from holdfast.errors import FormatError, InputError, MissingExtraError
from holdfast.judge.signature import Feed, Signature, Tensor

_NAMES = {"float": "float32", "double": "float64"}
_TENSOR = re.compile(r"tensor\((\w+)\)")


class Onnx:
    """A model in onnxruntime. It may be called from several threads at once.

    Args:
        path: of the file.

    Attributes:
        metadata: the texts by name that the file carries.

    Raises:
        FormatError: onnxruntime refuses the file.
        MissingExtraError: onnxruntime is not installed.
    """

    name = "onnxruntime"

    def __init__(self, path: Path) -> None:
        try:
            import onnxruntime
        except ModuleNotFoundError as error:
            raise MissingExtraError("onnxruntime", "runtime", "Running an .onnx") from error
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # what it has to say is in the errors
        try:
            session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"], enable_fallback=0
            )
            asked, given = session.get_inputs(), session.get_outputs()
            self.metadata: Mapping[str, str] = session.get_modelmeta().custom_metadata_map
        except Exception as error:  # its own errors have no base but this
            raise FormatError(f"{path}: onnxruntime refuses it: {error}") from error
        self.signature = Signature(_tensors(path, asked), _tensors(path, given))
        self._names = [tensor.name for tensor in self.signature.outputs]
        self._given = self.signature.inputs[0].name if self.signature.inputs else ""
        self._session = session
        self._run = session.run

    def run(self, feed: Feed) -> Feed:
        """Return the outputs by name.

        Raises:
            InputError: the model does not take these inputs, though its signature does.
        """
        try:
            found = self._run(self._names, feed)
        except Exception as error:  # as above
            raise InputError(f"onnxruntime could not run the model: {error}") from error
        return dict(zip(self._names, found, strict=True))

    def at_once(self, array: Any) -> Any | None:
        """Return the only output for the only input; None where onnxruntime would refuse it."""
        if not array.dtype.isnative:  # it would take the bytes as they are
            return None
        try:
            return self._run(self._names, {self._given: array})[0]
        except Exception:  # as above; what is wrong is said by whoever asks `run` then
            return None

    def close(self) -> None:
        """Let go of the session."""
        self._session = self._run = None


def _tensors(path: Path, parts: Sequence[Any]) -> tuple[Tensor, ...]:
    return tuple(_tensor(path, part) for part in parts)


def _tensor(path: Path, part: Any) -> Tensor:
    kind = _TENSOR.fullmatch(part.type)
    if kind is None:
        raise FormatError(f"{path}: {part.name} is a {part.type}, and only tensors are known")
    shape = tuple(size if isinstance(size, int) else None for size in part.shape)
    return Tensor(part.name, shape, _NAMES.get(kind[1], kind[1]))
