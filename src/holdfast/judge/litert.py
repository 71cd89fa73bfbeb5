"""Runs `.tflite` by LiteRT.

Owns what LiteRT says of a model in Holdfast's words, and running it. Leaves checking inputs to
`judge/signature`, and what the file says of itself to `judge/carried`.

A quantized model whose inputs or outputs are whole numbers takes and gives floats here: their scale
is in the file.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.errors import FormatError, InputError, MissingExtraError
from holdfast.judge.signature import Feed, Signature, Tensor

_USUAL = "serving_default"
_NOTHING = object()
AtOnce = Callable[[NDArray[Any]], NDArray[Any] | None]


class LiteRT:
    """A model in LiteRT. Several threads may call it; they are let in one at a time.

    Args:
        path: of the file.

    Attributes:
        at_once: returns the only output for the only input, or None unless that is as the last that
            was run; None where the model does not let it.

    Raises:
        FormatError: LiteRT refuses the file.
        MissingExtraError: LiteRT is not installed.
    """

    name = "LiteRT"
    at_once: AtOnce | None

    def __init__(self, path: Path) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ModuleNotFoundError as error:
            raise MissingExtraError("ai_edge_litert", "runtime", "Running a .tflite") from error
        try:
            interpreter = Interpreter(str(path))
            self._runner = _runner(path, interpreter)
            asked, given = self._runner.get_input_details(), self._runner.get_output_details()
        except (ValueError, RuntimeError, TypeError, LookupError) as error:
            raise FormatError(f"{path}: LiteRT refuses it: {error}") from error
        self.signature = Signature(
            tuple(_tensor(name, detail) for name, detail in asked.items()),
            tuple(_tensor(name, detail) for name, detail in given.items()),
        )
        self._into = {name: scale for name, detail in asked.items() if (scale := _scale(detail))}
        self._from = {name: scale for name, detail in given.items() if (scale := _scale(detail))}
        self._lock = threading.Lock()
        self.at_once = None
        if isinstance(self._runner, _Kept) and not self._into and not self._from:
            self.at_once = self._runner.at_once(self._lock)

    def run(self, feed: Feed) -> Feed:
        """Return the outputs by name.

        Raises:
            InputError: the model does not take these inputs, though its signature does.
        """
        if self._into:
            feed = {name: _quantized(array, self._into.get(name)) for name, array in feed.items()}
        if not all(array.size for array in feed.values()):
            return self._nothing()
        try:
            with self._lock:
                found: Feed = self._runner(**feed)
        except (ValueError, RuntimeError) as error:
            raise InputError(f"LiteRT could not run the model: {error}") from error
        for name, scale in self._from.items():
            found[name] = _restored(found[name], scale)
        return found

    def close(self) -> None:
        """Let go of the interpreter."""
        del self._runner
        self.at_once = None

    def _nothing(self) -> Feed:
        # LiteRT does not return from some models without a row.
        return {
            tensor.name: np.zeros((0, *(size or 0 for size in tensor.sample)), _numpy(tensor.dtype))
            for tensor in self.signature.outputs
        }


class _Scale:
    """How whole numbers stand for floats: by a factor, and from a zero point."""

    def __init__(self, factor: float, zero: int, dtype: Any) -> None:
        self.factor, self.zero, self.dtype = np.float32(factor), zero, np.dtype(dtype)


class _Kept:
    """Runs a file by its tensors' numbers, and makes room anew only where the shapes are new.

    That is for files of a single graph, whose numbers are then all of it; and for those that have
    no signature. LiteRT's own runner makes room for each call.

    Args:
        interpreter: of the file.
        asked: what LiteRT says of each input by name.
        given: of each output.
    """

    def __init__(self, interpreter: Any, asked: dict[str, Any], given: dict[str, Any]) -> None:
        self._interpreter, self._asked, self._given = interpreter, asked, given
        self._numbers = {name: detail["index"] for name, detail in asked.items()}
        self._answers = {name: detail["index"] for name, detail in given.items()}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._last: Any = _NOTHING

    def get_input_details(self) -> dict[str, Any]:
        return self._asked

    def get_output_details(self) -> dict[str, Any]:
        return self._given

    def at_once(self, lock: threading.Lock) -> AtOnce:
        """Return what runs an only input of the same shape and type as the last, or returns None.

        It is one function and not several, with all it needs at hand: the smallest models take
        three microseconds, and each call and each look-up a fiftieth of that.
        """
        model = self._interpreter
        put, run, get = model.set_tensor, model.invoke, model.get_tensor
        into = next(iter(self._numbers.values()), 0)
        answer = next(iter(self._answers.values()), 0)

        def call(array: NDArray[Any]) -> NDArray[Any] | None:
            with lock:
                # LiteRT compares shapes and types itself, but takes bytes in any order.
                if array.dtype is not self._last and array.dtype != self._last:
                    return None
                try:
                    put(into, array)
                    run()
                    found: NDArray[Any] = get(answer)
                except (ValueError, RuntimeError):  # said by whoever asks `run` then
                    return None
                return found

        return call

    def __call__(self, **feed: NDArray[Any]) -> Feed:
        model = self._interpreter
        shapes = {name: array.shape for name, array in feed.items()}
        if shapes != self._shapes:
            self._shapes, self._last = {}, _NOTHING
            for name, shape in shapes.items():
                model.resize_tensor_input(self._numbers[name], shape)
            model.allocate_tensors()
        for name, array in feed.items():
            model.set_tensor(self._numbers[name], array)
        model.invoke()
        self._shapes = shapes
        if len(feed) == 1:
            self._last = next(iter(feed.values())).dtype
        return {name: model.get_tensor(number) for name, number in self._answers.items()}


def _runner(path: Path, interpreter: Any) -> Any:
    names = list(interpreter.get_signature_list())
    if not names:
        return _Kept(
            interpreter,
            {detail["name"]: detail for detail in interpreter.get_input_details()},
            {detail["name"]: detail for detail in interpreter.get_output_details()},
        )
    if len(names) > 1 and _USUAL not in names:
        raise FormatError(
            f"{path}: it has the signatures {', '.join(names)}, and none is called {_USUAL}"
        )
    runner = interpreter.get_signature_runner(_USUAL if _USUAL in names else names[0])
    if interpreter.num_subgraphs() > 1:
        return runner
    # The runner goes: as long as it is there, the interpreter makes no room.
    return _Kept(interpreter, runner.get_input_details(), runner.get_output_details())


def _tensor(name: str, detail: Mapping[str, Any]) -> Tensor:
    shape = detail["shape_signature"] if len(detail["shape_signature"]) else detail["shape"]
    dtype = np.dtype(detail["dtype"])
    shown = "float32" if _scale(detail) else "string" if dtype.kind in "SO" else dtype.name
    return Tensor(name, tuple(None if size < 0 else int(size) for size in shape), shown)


def _numpy(dtype: str) -> Any:
    return object if dtype == "string" else dtype


def _scale(detail: Mapping[str, Any]) -> _Scale | None:
    found = detail["quantization_parameters"]
    if len(found["scales"]) != 1 or np.dtype(detail["dtype"]).kind not in "iu":
        return None
    return _Scale(found["scales"][0], int(found["zero_points"][0]), detail["dtype"])


def _quantized(array: NDArray[Any], scale: _Scale | None) -> NDArray[Any]:
    if scale is None:
        return array
    limits = np.iinfo(scale.dtype)
    whole = np.rint(array / scale.factor) + scale.zero
    clipped: NDArray[Any] = np.nan_to_num(np.clip(whole, limits.min, limits.max))
    return clipped.astype(scale.dtype)


def _restored(array: NDArray[Any], scale: _Scale) -> NDArray[Any]:
    restored: NDArray[Any] = (array.astype(np.float32) - scale.zero) * scale.factor
    return restored
