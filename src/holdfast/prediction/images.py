"""Images as samples of an input: a file, or bytes that came over a network.

Owns what an image becomes: turned as its EXIF orientation says, transparency on white, grey or
colours as the input has channels, resized to its size (the sides each for itself, as Keras's
`image_dataset_from_directory` does), black and white as the numbers of a scale. Leaves which files
there are to `inputs`, and decoding to Pillow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray

from holdfast.errors import InputError, MissingExtraError
from holdfast.judge.about import About
from holdfast.judge.meaning import said_range
from holdfast.judge.signature import Tensor

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")
MOST_PIXELS = 50_000_000
"""Larger images are refused before they are decoded: a small file may hold a huge one."""

Scale = tuple[float, float]
"""The numbers that stand for black and for white."""

_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP")
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_COLOURS = {1: "grey", 3: "RGB", 4: "RGB and alpha"}
_SCALING = {"Rescaling", "Normalization"}


@dataclass(frozen=True, slots=True)
class Form:
    """How an image becomes a sample of an input.

    Args:
        tensor: the input.
        height, width: None where the image's own is taken.
        channels: 1, grey; 3, RGB; 4, RGB and alpha.
        order: where the channels are in the sample; `none` has no dimension for them, `flat` no
            dimensions at all.
        scale: the numbers for black and for white.
        reason: why it is this scale, for people.
    """

    tensor: Tensor
    height: int | None
    width: int | None
    channels: int
    order: Literal["last", "first", "none", "flat"]
    scale: Scale
    reason: str

    def __str__(self) -> str:
        size = f"{self.width}x{self.height}" if self.width and self.height else "of their own size"
        low, high = self.scale
        return f"{size}, {_COLOURS[self.channels]}, black {low:g}, white {high:g} ({self.reason})"


def form(tensor: Tensor, about: About, scale: Scale | None = None) -> Form:
    """Return how images become samples of an input.

    Args:
        tensor: the input.
        about: what is known of the model: the words about the input may name its numbers, its
            layers say whether it scales for itself.
        scale: the numbers for black and for white; by default those of the words ("0 (white) to 16
            (black)"), else 0 and 255 for inputs of whole numbers and for models with a `Rescaling`
            or `Normalization` layer, else 0 and 1.

    Raises:
        InputError: the input takes no images.
    """
    height, width, channels, order = _frame(tensor)
    words = about.inputs.get(tensor.name, "")
    said = said_range(words)
    if scale is not None:
        reason = "as asked"
    elif said is not None:
        scale = (said.high, said.low) if said.white_is_low else (said.low, said.high)
        reason = f"the input is {words!r}"
    elif "int" in tensor.dtype:
        scale, reason = (0, 255), f"the input is {tensor.dtype}"
    else:
        kinds = [layer.kind for layer in about.layers if layer.kind in _SCALING]
        if kinds:
            scale, reason = (0, 255), f"the model has a {kinds[0]} layer"
        elif about.layers:
            scale, reason = (0, 1), "the model has no Rescaling layer"
        else:
            scale, reason = (0, 1), "the file does not say which layers the model has"
    return Form(tensor, height, width, channels, order, scale, reason)


def sample(source: Path | IO[bytes], form: Form, what: str) -> NDArray[Any]:
    """Return an image as one sample: an array without the batch's dimension, not yet checked.

    Args:
        source: the file, or its open stream (`io.BytesIO` for bytes).
        form: what it becomes.
        what: the image's name, for errors.

    Raises:
        InputError: it is no image, is damaged, or has more than `MOST_PIXELS`.
        MissingExtraError: Pillow is not installed.
        OSError: the file cannot be read.
    """
    try:
        from PIL import Image
    except ImportError:
        raise MissingExtraError("Pillow", "images", "reading images") from None
    if isinstance(source, Path):
        with source.open("rb") as stream:
            return sample(stream, form, what)
    try:
        with Image.open(source, formats=_FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise _Refused(f"{image.width}x{image.height} pixels")
            pixels = _pixels(image, form)
    except (_Refused, Image.DecompressionBombError) as error:
        raise InputError(
            f"{what}: expected an image of at most {MOST_PIXELS:,} pixels, found more: {error}"
        ) from None
    except Image.UnidentifiedImageError:
        kinds = ", ".join(_FORMATS)
        raise InputError(f"{what}: expected an image ({kinds}), found something else") from None
    except MemoryError:
        raise
    except Exception as error:  # decoders raise what they will on damaged files
        raise InputError(f"{what}: the image is damaged: {error}") from None
    return _scaled(pixels, form)


class _Refused(Exception):  # noqa: N818
    """An image is too large."""


def _frame(
    tensor: Tensor,
) -> tuple[int | None, int | None, int, Literal["last", "first", "none", "flat"]]:
    """Return the height, the width, the channels and where these are."""
    match () if tensor.dtype == "string" else tensor.sample:
        case (height, width, (1 | 3 | 4) as channels):
            return height, width, channels, "last"
        case ((1 | 3 | 4) as channels, height, width):
            return height, width, channels, "first"
        case (height, width):
            return height, width, 1, "none"
        case (int(size),):
            for channels in (1, 3):
                side = math.isqrt(size // channels)
                if side > 1 and side * side * channels == size:
                    return side, side, channels, "flat"
    raise InputError(
        f"{tensor.name}: expected {tensor}, which no image can be made into: give the samples as "
        ".npy, .npz, .csv, .parquet or JSON lines"
    )


def _pixels(image: Any, form: Form) -> NDArray[np.uint8]:
    """Return an image as (height, width, channels) of the form."""
    from PIL import Image, ImageOps

    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16 bits: Pillow would cut off what is above 255
        high = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
        image = Image.fromarray((high >> 8).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if form.channels < 4:
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert(_MODES[form.channels])
    size = (form.width or image.width, form.height or image.height)
    if image.size != size:
        image = image.resize(size, Image.Resampling.BILINEAR)
    pixels: NDArray[np.uint8] = np.asarray(image).reshape(size[1], size[0], form.channels)
    return pixels


def _scaled(pixels: NDArray[np.uint8], form: Form) -> NDArray[Any]:
    low, high = form.scale
    numbers: NDArray[Any] = pixels
    if (low, high) != (0, 255):
        numbers = np.float32(low) + pixels * np.float32((high - low) / 255)
    if "int" in form.tensor.dtype:
        numbers = np.rint(numbers)
        limits = np.iinfo(form.tensor.dtype)
        if min(low, high) < limits.min or max(low, high) > limits.max:
            raise InputError(
                f"{form.tensor.name}: {form.tensor.dtype} does not hold black {low:g} and white "
                f"{high:g}: give another scale"
            )
        numbers = numbers.astype(form.tensor.dtype)
    else:
        numbers = numbers.astype(np.float32)
    if form.order == "first":
        return np.ascontiguousarray(np.moveaxis(numbers, 2, 0))
    if form.order == "none":
        return numbers[..., 0]
    return numbers.reshape(-1) if form.order == "flat" else numbers
