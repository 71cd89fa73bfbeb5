"""What is known of a model beside what it computes: classes, meaning, the run, metrics, curve.

Owns the value and its JSON, which exported files carry. Leaves where in a file it lies to
`judge/carried` (reading) and `exporting` (writing). Imports neither numpy nor a runtime.

Format 1, a JSON object; every key but `format` may be missing:

    format      1
    name        of the model
    classes     their names, in the order of the last dimension of the (first) output
    inputs      what the inputs mean, in words, by their names
    run         name, id, step, epoch and digest of the training it is from
    metrics     numbers by name, of the moment its weights are from
    layers      name, kind, output shape and number of parameters of each
    curve       for each metric a list of numbers, one an epoch
    export      how the file was made: versions, quantization, measured difference, sizes
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from holdfast.errors import FormatError, NewerFormatError
from holdfast.types import Json

FORMAT = 1

LONGEST = 8 << 20
"""The most bytes of JSON that are read; a file says what it likes of itself."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer, for people.

    Args:
        name: of the layer.
        kind: its class.
        output: the shape of what it gives, or None where that is not known.
        parameters: how many numbers it has learned.
    """

    name: str
    kind: str
    output: str | None
    parameters: int


@dataclass(frozen=True, slots=True)
class About:
    """What is known of a model; see the module's first lines for what each means."""

    name: str = "model"
    classes: tuple[str, ...] = ()
    inputs: Mapping[str, str] = field(default_factory=dict)
    run: Mapping[str, Json] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    layers: tuple[Layer, ...] = ()
    curve: Mapping[str, Sequence[float]] = field(default_factory=dict)
    export: Mapping[str, Json] = field(default_factory=dict)


def to_value(about: About) -> dict[str, Json]:
    """Return what is known as JSON holds it; a metric that is no number is None."""
    return {
        "format": FORMAT,
        "name": about.name,
        "classes": list(about.classes),
        "inputs": dict(about.inputs),
        "run": dict(about.run),
        "metrics": {name: _finite(number) for name, number in about.metrics.items()},
        "layers": [asdict(layer) for layer in about.layers],
        "curve": {
            name: [_finite(number) for number in numbers] for name, numbers in about.curve.items()
        },
        "export": dict(about.export),
    }


def to_json(about: About) -> str:
    """Return the JSON of what is known; a number that JSON has not (NaN) is null."""
    return json.dumps(to_value(about), ensure_ascii=False, allow_nan=False)


def from_json(text: str | bytes, where: str) -> About:
    """Return what a JSON says. Keys that are not known are passed over.

    Args:
        text: the JSON.
        where: it is from, for errors.

    Raises:
        FormatError: it is no JSON, or a part of it is not of the kind that belongs there.
        NewerFormatError: a newer Holdfast wrote it.
    """
    if len(text) > LONGEST:
        raise FormatError(
            f"{where}: what the file says of itself has {len(text)} bytes, and {LONGEST} are read"
        )
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{where}: what the file says of itself is no JSON: {error}") from None
    reader = _Reader(value, where)
    number = reader.get("format", int, None)
    if number is None or number < 1:
        raise FormatError(f"{where}: expected a format number, found {value.get('format')!r}")
    if number > FORMAT:
        raise NewerFormatError(
            f"{where}: a newer Holdfast wrote this (format {number}; this one reads {FORMAT}). "
            "Use that one, or a newer one"
        )
    return About(
        name=reader.get("name", str, "model"),
        classes=tuple(reader.each("classes", str)),
        inputs=reader.named("inputs", str),
        run=reader.get("run", dict, {}),
        metrics=reader.named("metrics", _number),
        layers=tuple(_layer(part, where) for part in reader.each("layers", dict)),
        curve={
            name: [_checked(part, _number, where, f"curve/{name}") for part in numbers]
            for name, numbers in reader.named("curve", list).items()
        },
        export=reader.get("export", dict, {}),
    )


class _Reader:
    """Takes parts out of what should be an object, each of the kind that belongs there."""

    def __init__(self, value: Json, where: str) -> None:
        self._value: dict[str, Json] = _checked(value, dict, where, "it")
        self._where = where

    def get(self, key: str, kind: type[T], default: Any) -> Any:
        value = self._value.get(key)
        return default if value is None else _checked(value, kind, self._where, key)

    def each(self, key: str, kind: type[T]) -> list[T]:
        return [
            _checked(part, kind, self._where, f"{key}[{number}]")
            for number, part in enumerate(self.get(key, list, []))
        ]

    def named(self, key: str, kind: Callable[[Any], T] | type[T]) -> dict[str, T]:
        return {
            name: _checked(part, kind, self._where, f"{key}/{name}")
            for name, part in self.get(key, dict, {}).items()
        }


def _number(value: Json) -> float:
    """Return a number; null stands for one that JSON has not."""
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    return float(value)


def _checked(value: Json, kind: Any, where: str, key: str) -> Any:
    if not isinstance(kind, type):
        try:
            return kind(value)
        except (TypeError, OverflowError):
            kind = float
    elif isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
        return value
    wanted = {dict: "an object", list: "a list", str: "a text", int: "a whole number"}
    raise FormatError(
        f"{where}: {key[:80]}: expected {wanted.get(kind, 'a number')}, found {_short(value)}"
    )


def _short(value: Json) -> str:
    text = repr(value) if isinstance(value, bool | int | float | None) else type(value).__name__
    return text[:40]


def _layer(value: dict[str, Json], where: str) -> Layer:
    reader = _Reader(value, where)
    return Layer(
        name=reader.get("name", str, ""),
        kind=reader.get("kind", str, ""),
        output=reader.get("output", str, None),
        parameters=reader.get("parameters", int, 0),
    )


def _finite(number: float) -> float | None:
    return float(number) if math.isfinite(number) else None
