"""What a callback that writes files of the model has of them, in a run that keeps them.

Owns where they are, which of them stand, and their names where today's are others. Leaves keeping
them by a second name to the run.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from holdfast.callbacks.file_names import FileName
from holdfast.callbacks.hosted import Host, Hosted
from holdfast.callbacks.model_files import name_newest
from holdfast.formats import writing
from holdfast.store import files
from holdfast.store.patterns import Pattern, renamed
from holdfast.types import Json


class HostedFiles(Hosted):
    """A callback whose files a run keeps. Abstract: whoever inherits it writes them."""

    filepath: str
    _base: Path
    _name: FileName
    _pattern: Pattern

    def join(self, host: Host) -> None:
        super().join(host)
        self._base = Path.cwd()
        host.claim(self.filepath)

    def prepare(self, *, resumed: bool) -> None:
        if not resumed and self.host is not None:
            self.host.forget(Pattern(self.filepath, self.filepath))

    def put_back(self) -> Collection[str]:
        # Another training may have written there since, or the program moved what was there.
        if self.host is None:
            return ()
        result = self.host.put_back(self._pattern, self._place, self._files)
        if result.stands:
            newest = self._place(result.stands[-1])
            try:
                name_newest(newest)
            except OSError as error:
                warnings.warn(f"ModelCheckpoint: {newest} is not named: {error}", stacklevel=2)
        return result.lost

    def _saves(self) -> Json:
        """Return what decides, besides the monitor, which files there are."""
        raise NotImplementedError

    def _start_files(self) -> None:
        # A callback may change the working directory. What is relative stays so in the state, so
        # that a project may be moved.
        self._base = Path.cwd()
        self._pattern = Pattern(self.filepath, self.filepath)

    def _moved(
        self, state: Mapping[str, Any], first: str
    ) -> tuple[list[tuple[float, str]], Json] | None:
        """Return a state's best files, and the one that could not be written, by today's names.

        A program may have the time in its names, which then are others at each start. Returns None
        where the state is of another callback.
        """
        top, unsaved = [(score, path) for score, path in state["top"]], state["unsaved"]
        was, now = state["filepath"], self.filepath
        if self.host and any(name != now and self.host.claimed(name) for name in (was, first)):
            return None
        if was == now:
            return top, unsaved
        if state.get("saves") != self._saves() or not self._name.follows(was):
            return None
        paths = [path for _, path in top] + ([unsaved[0]] if unsaved else [])
        names = {path: name for path in paths if (name := renamed(path, was, now)) is not None}
        if len(names) < len(set(paths)):
            return None
        if unsaved:
            path, *more, said = unsaved
            unsaved = [names[path], *more, said.replace(path, names[path])]
        return [(score, names[path]) for score, path in top], unsaved

    def _score_standing(self, path: str, monitor: str) -> float | None:
        """Return the score of the model that an earlier attempt has left at a path, if any."""
        score = None if self.host is None else self.host.score_of(self._pattern, path, monitor)
        return score if self._files(path) else None

    def _place(self, path: str) -> Path:
        return self._base / path

    def _files(self, path: str) -> list[Path]:
        return writing.files_of(self._place(path))

    def _remove(self, paths: Sequence[str]) -> None:
        if paths and self.host is not None:
            self.host.let_go(self._pattern, paths)
        files.remove([file for path in paths for file in self._files(path)])
