"""What the page at `/` is made of: its files, and what it is told of the model.

Owns which way of trying fits an input. Leaves answering over HTTP to the server, and everything a
person sees to the files in `page/`: modules of plain JavaScript, each with its own first lines.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from holdfast.judge import Judge
from holdfast.judge.about import About, to_value
from holdfast.judge.meaning import said_range
from holdfast.judge.signature import Tensor
from holdfast.types import Json

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_PAGES = {"/": "index.html", "/docs": "docs.html", "/favicon.ico": "icon.svg"}
_FLAT = {64: 8, 784: 28}
_EIGHT = ((8, 8), (8, 8, 1), (1, 8, 8), (64,))
_SCALING = ("Rescaling", "Normalization")
_DRAWN = 64
_FIELDS = {"named": 16, "unnamed": 8}


def asset(path: str) -> tuple[str, bytes] | None:
    """Return the content type and the bytes of one of the page's files, or None.

    They say nothing of the model: a server that asks for a token gives them without one.

    Args:
        path: as it is asked for: `/`, `/docs`, `/favicon.ico` or `/page/…`.
    """
    return _assets().get(path)


def facts(judge: Judge, version: str) -> dict[str, Json]:
    """Return what the page shows of a model, as JSON holds it: no NaN and no infinity.

    Args:
        judge: the model.
        version: of the model that answers now.
    """
    about = judge.about
    known = to_value(about)
    parts = ("name", "classes", "metrics", "layers", "curve", "run", "export")
    return {
        **{part: _plain(known[part]) for part in parts},
        "version": version,
        "runtime": judge.runtime,
        "inputs": [
            {**_tensor(tensor), "meaning": about.inputs.get(tensor.name)}
            for tensor in judge.signature.inputs
        ],
        "outputs": [_tensor(tensor) for tensor in judge.signature.outputs],
        "try": {tensor.name: way(tensor, about) for tensor in judge.signature.inputs},
    }


def way(tensor: Tensor, about: About) -> dict[str, Json]:
    """Return how an input is tried by hand.

    Args:
        tensor: the input.
        about: what is known of the model.

    Returns:
        `ways`, the best one first: `draw`, `image`, `numbers`, `text`, `json`. For images, `image`:
        height and width (None where any will do), channels, `layout` of the dimensions (`flat`,
        `hw`, `hwc`, `chw`) and `range`, the numbers of black and white. For numbers, `count` (None
        where any will do) and `fields`: their names, where they are few.
    """
    words = about.inputs.get(tensor.name, "")
    if tensor.dtype == "string":
        return {"ways": ["text", "json"] if len(tensor.sample) <= 1 else ["json"]}
    image = _image(tensor)
    ways: list[str] = []
    found: dict[str, Json] = {}
    if image is not None:
        found["image"] = {**image, "range": _range(tensor, about, words)}
        ways += _by_image(image)
    if len(tensor.sample) == 1:
        count = tensor.sample[0]
        found |= {"count": count, "fields": _fields(count, words)}
        ways.append("numbers")
    return {"ways": [*ways, "json"], **found}


@cache
def _assets() -> dict[str, tuple[str, bytes]]:
    folder = Path(__file__).with_suffix("")
    files = {
        file.name: (_TYPES[file.suffix], file.read_bytes())
        for file in folder.iterdir()
        if file.suffix in _TYPES
    }
    return {f"/page/{name}": file for name, file in files.items()} | {
        path: files[name] for path, name in _PAGES.items()
    }


def _tensor(tensor: Tensor) -> dict[str, Json]:
    return {"name": tensor.name, "shape": list(tensor.shape), "dtype": tensor.dtype}


def _image(tensor: Tensor) -> dict[str, Json] | None:
    """Return the shape of an image, where an input's sample looks like one."""
    if tensor.dtype == "bool":
        return None
    match tensor.sample:
        case (int(size),) if size in _FLAT and not tensor.dtype.startswith("int"):
            return _shape(_FLAT[size], _FLAT[size], 1, "flat")
        case (int(height), int(width)) if height == width and height >= min(_FLAT.values()):
            return _shape(height, width, 1, "hw")
        case (height, width, int(channels)) if channels in (1, 3) and _sides(height, width):
            return _shape(height, width, channels, "hwc")
        case (int(channels), height, width) if channels in (1, 3) and _sides(height, width):
            return _shape(height, width, channels, "chw")
    return None


def _sides(*sides: int | None) -> bool:
    return all(side is None or side >= 4 for side in sides)


def _shape(height: int | None, width: int | None, channels: int, layout: str) -> dict[str, Json]:
    return {"height": height, "width": width, "channels": channels, "layout": layout}


def _by_image(image: dict[str, Json]) -> list[str]:
    sides = (image["height"], image["width"])
    small = None not in sides and max(sides) <= _DRAWN
    return ["draw", "image"] if small and image["channels"] == 1 else ["image"]


def _range(tensor: Tensor, about: About, words: str) -> list[float]:
    """Return the numbers of black and white: as the words say, else as the layers suggest."""
    said = said_range(words)
    if said:
        return [said.low, said.high]
    if not tensor.dtype.startswith(("int", "uint")) and not any(
        layer.kind in _SCALING for layer in about.layers
    ):
        return [0, 1]
    # scikit-learn's digits are the images of 8 x 8 that people have, and go to 16.
    return [0, 16] if tensor.sample in _EIGHT else [0, 255]


def _fields(count: int | None, words: str) -> list[str] | None:
    """Return the names of a few numbers: those that the words list, else their places."""
    names = [name.strip() for name in re.split(r"[,;]", words)]
    if len(names) == count and all(names) and count <= _FIELDS["named"]:
        return names
    if count is None or count > _FIELDS["unnamed"]:
        return None
    return [str(place + 1) for place in range(count)]


def _plain(value: Json) -> Json:
    """Return a value as JSON holds it: with nothing for a number that is none."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(part) for part in value]
    return value
