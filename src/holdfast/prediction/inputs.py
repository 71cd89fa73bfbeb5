"""What is to be judged: files, folders and the standard input, as one stream of batches.

Owns which reader is for which ending, the order of several, batches as the model takes them, and
how far reading has come. Leaves each kind of file to its module: `arrays`, `tables`, `parquet`,
`images`, `lines`. Nothing of them stays in memory but the batch under way.
"""

from __future__ import annotations

import glob
import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np

from holdfast.errors import InputError, did_you_mean
from holdfast.judge.about import About
from holdfast.judge.signature import Feed, Signature, checked
from holdfast.prediction import arrays, images, lines
from holdfast.prediction.parquet import Parquet
from holdfast.prediction.tables import Table

STANDARD_INPUT = "-"
TABLES = (".csv", ".tsv")
LINES = (".jsonl", ".ndjson")
ENDINGS = (".npy", ".npz", *TABLES, ".parquet", *LINES, *images.ENDINGS)

_FREE_IMAGES = 16
_SPARE_SHOWN = 8
_NAMED = "the standard input"


@dataclass(frozen=True, slots=True)
class Batch:
    """Samples as the model takes them.

    Args:
        feed: what `judge.outputs` takes; where the model's batch is of a fixed size, the last
            sample is there again and again to fill it.
        rows: how many samples there are.
        files: the image of each, where they are images.
    """

    feed: Feed
    rows: int
    files: tuple[str, ...] = ()


class Inputs:
    """Samples from files, one file after the other. Iterate over it once.

    Args:
        paths: files, folders of images, patterns with `*`, or `-` for JSON lines from the standard
            input.
        signature: of the model.
        about: what is known of it: whether it scales images for itself.
        batch: how many samples go together at most; a model's fixed size is taken instead.
        scale: of images: the numbers for black and for white; see `images.form`.
        header: of CSV: whether the first line has names; None to find out.
        columns: of tables: the columns that count, by name or number; none for all.
        say: is told what was decided about images and columns.

    Attributes:
        size: of all files in bytes; None where the standard input is among them.
        done: how many of these bytes have been read.
        pictures: whether they are images.

    Raises:
        InputError: a file is not there, is of no kind that is known, or is not what the model
            takes; says which one, what was expected and what was found.
        OSError: one cannot be read.
    """

    def __init__(
        self,
        paths: Sequence[str | os.PathLike[str]],
        signature: Signature,
        about: About | None = None,
        *,
        batch: int = 256,
        scale: images.Scale | None = None,
        header: bool | None = None,
        columns: Sequence[str] = (),
        say: Callable[[str], object] = lambda text: None,
    ) -> None:
        check_rows(signature)
        self._signature = signature
        self._about = about or About()
        self._fixed = next((t.shape[0] for t in signature.inputs if t.shape[0] is not None), None)
        self._batch = self._fixed or batch
        self._scale = scale
        self._header = header
        self._columns = columns
        self._say = say
        self.paths = [path for given in paths for path in _expanded(os.fspath(given))]
        self.pictures = any(_ending(path) in images.ENDINGS for path in self.paths)
        if self.pictures:
            self._form = self._image_form()
        self.done = 0
        self.size: int | None = None
        if STANDARD_INPUT not in self.paths:
            self.size = sum(Path(path).stat().st_size for path in self.paths)

    def __iter__(self) -> Iterator[Batch]:
        if self.pictures:
            yield from self._images()
            return
        before = 0
        for path in self.paths:
            empty = True
            for feed in self._feeds(path, before):
                checked_feed = self._checked(feed, path)
                rows = len(next(iter(checked_feed.values())))
                if rows:
                    empty = False
                    yield Batch(self._filled(checked_feed, rows), rows)
            if empty:
                raise InputError(f"{_what(path)} has no rows")
            before = self.done = before + (0 if self.size is None else Path(path).stat().st_size)

    def _feeds(self, path: str, before: int) -> Iterator[Feed]:
        """Give the batches of a file, unchecked, and keep `done` true."""
        ending = _ending(path)
        if path == STANDARD_INPUT:
            blocks = lines.of_pipe(sys.stdin.buffer, self._batch)
            yield from lines.batches(blocks, self._signature, _NAMED)
        elif ending in LINES:
            with Path(path).open("rb") as stream:
                blocks = lines.of_file(stream, self._batch)
                for feed in lines.batches(blocks, self._signature, path):
                    self.done = before + stream.tell()
                    yield feed
        elif ending in TABLES:
            with Path(path).open("rb") as stream:
                text = io.TextIOWrapper(stream, encoding="utf-8-sig")
                table = Table(text, self._signature, self._batch, path, self._header, self._columns)
                self._say_spare(path, table.spare)
                for feed in table:
                    self.done = before + stream.tell()
                    yield feed
        elif ending == ".parquet":
            file = Parquet(Path(path), self._signature, self._batch, self._columns)
            self._say_spare(path, file.spare)
            yield from self._counted(file, before, path)
        else:
            read = arrays.npy if ending == ".npy" else arrays.npz
            pairs = read(Path(path), self._signature, self._batch)
            yield from self._counted(pairs, before, path)

    def _counted(
        self, pairs: Iterable[tuple[Feed, float]], before: int, path: str
    ) -> Iterator[Feed]:
        size = Path(path).stat().st_size
        for feed, part in pairs:
            self.done = before + int(part * size)
            yield feed

    def _checked(self, feed: Feed, path: str) -> Feed:
        try:
            if self._fixed is None:
                return checked(self._signature, feed)
            free = tuple(
                replace(tensor, shape=(None, *tensor.sample)) for tensor in self._signature.inputs
            )
            return checked(Signature(free, self._signature.outputs), feed)
        except InputError as error:
            raise InputError(f"{_what(path)}: {error}") from None

    def _filled(self, feed: Feed, rows: int) -> Feed:
        """Return a batch of the size that the model takes, if it takes but one."""
        missing = (self._fixed or rows) - rows
        if not missing:
            return feed
        return {
            name: np.concatenate([part, np.repeat(part[-1:], missing, axis=0)])
            for name, part in feed.items()
        }

    def _image_form(self) -> images.Form:
        """Return how images become samples, and say it."""
        other = [path for path in self.paths if _ending(path) not in images.ENDINGS]
        if other:
            raise InputError(f"images and other inputs cannot go together: found {_what(other[0])}")
        if len(self._signature.inputs) > 1:
            names = ", ".join(tensor.name for tensor in self._signature.inputs)
            raise InputError(f"the model has several inputs, {names}: give an .npz, not images")
        form = images.form(self._signature.inputs[0], self._about, self._scale)
        self._say(f"images: {form}")
        return form

    def _images(self) -> Iterator[Batch]:
        tensor = self._signature.inputs[0]
        free = self._form.height is None or self._form.width is None
        count = min(self._batch, _FREE_IMAGES) if free else self._batch
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for begin in range(0, len(self.paths), count):
                some = self.paths[begin : begin + count]
                decoded = pool.map(lambda path: images.sample(Path(path), self._form, path), some)
                pairs = zip(some, decoded, strict=True)
                for _, group in groupby(pairs, lambda pair: pair[1].shape):
                    files, samples = zip(*group, strict=True)
                    feed = self._checked({tensor.name: np.stack(samples)}, files[0])
                    yield Batch(self._filled(feed, len(files)), len(files), files)
                self.done += sum(Path(path).stat().st_size for path in some)

    def _say_spare(self, path: str, spare: Sequence[str]) -> None:
        if spare:
            more = len(spare) - _SPARE_SHOWN
            names = ", ".join(spare[:_SPARE_SHOWN]) + (f" and {more} more" if more > 0 else "")
            self._say(f"{path}: not used: {names}")


def check_rows(signature: Signature) -> None:
    """Refuse a model that takes or gives a number for a whole batch: samples do not say it.

    Raises:
        InputError: there is such an input or output.
    """
    for tensor in (*signature.inputs, *signature.outputs):
        if not tensor.shape:
            raise InputError(
                f"{tensor.name} is {tensor}, one for a whole batch: expected inputs and outputs "
                "with a row for each sample; run this model with holdfast.judge"
            )


def _expanded(given: str) -> list[str]:
    """Return the files that a path stands for."""
    if given == STANDARD_INPUT:
        return [given]
    path = Path(given)
    if path.is_dir():
        found = sorted(
            str(file)
            for file in path.rglob("*")
            if file.suffix.lower() in images.ENDINGS and not file.name.startswith(".")
        )
        if not found:
            raise InputError(f"{given}: expected a folder of images, found none in it")
        return found
    if not path.exists():
        if glob.has_magic(given):
            found = sorted(glob.glob(given, recursive=True))
            if not found:
                raise InputError(f"{given}: no file is named so")
            return [file for pattern in found for file in _expanded(pattern)]
        beside = [file.name for file in path.parent.glob("*")] if path.parent.is_dir() else []
        raise InputError(f"{given}: there is no such file{did_you_mean(path.name, beside)}")
    if _ending(given) not in ENDINGS:
        raise InputError(
            f"{given}: expected a file that ends in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}, a "
            f"folder of images, or -; found {_ending(given)!r}"
            f"{did_you_mean(_ending(given), ENDINGS)}"
        )
    return [given]


def _ending(path: str) -> str:
    return Path(path).suffix.lower()


def _what(path: str) -> str:
    return _NAMED if path == STANDARD_INPUT else path
