"""Files of models: an image of a model in memory, and the file written of it in the background.

Owns the image and the thread. Leaves names to `file_names`, and writing to `formats/writing`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from holdfast import keras_private
from holdfast.callbacks import wrapped_modules
from holdfast.callbacks.wrapped_modules import StandIns
from holdfast.formats import writing
from holdfast.state import variables
from holdfast.store import files


@dataclass(frozen=True)
class Image:
    """A model with copies of its variables' values: what a file of it holds from then on.

    Args:
        model: alive; nothing of it is changed.
        values: of its variables.
        stand_ins: for its layers that wrap PyTorch's modules.
    """

    model: Any
    values: Sequence[tuple[Any, NDArray[Any]]]
    stand_ins: StandIns = ()

    @classmethod
    def of(cls, model: Any) -> Image:
        """Copy the values of all variables of a model, its optimizer's among them."""
        found = [variable for group in variables.groups(model) for variable in group]
        copies = [np.array(keras.ops.convert_to_numpy(variable.value)) for variable in found]
        return cls._with(model, list(zip(found, copies, strict=True)))

    @classmethod
    def from_arrays(cls, model: Any, arrays: Mapping[str, NDArray[Any]]) -> Image:
        """Take the values from a checkpoint's arrays, by the names of `state/variables`."""
        found = [variable for group in variables.groups(model) for variable in group]
        names = [name for name, _ in variables.names(model)]
        return cls._with(model, [(v, arrays[name]) for v, name in zip(found, names, strict=True)])

    @classmethod
    def _with(cls, model: Any, values: Sequence[tuple[Any, NDArray[Any]]]) -> Image:
        # What PyTorch's modules have besides, their buffers, stands in the stand-ins.
        own = [(live, value) for live, value in values if isinstance(live, keras.Variable)]
        return cls(model, own, wrapped_modules.stand_ins(model, values))

    def write(self, path: Path, *, weights_only: bool, form: str | None = None) -> None:
        """Write the file, in a format, or the one that its ending names.

        The file of that name stands as it was until the new one is whole and on the disk.
        """
        keras_private.prepare_saving()
        # These scopes are of this thread alone: training goes on with the values it has, and
        # nothing goes back to the device.
        with (
            keras.device("cpu"),
            keras.StatelessScope(self.values),
            wrapped_modules.standing_in(self.stand_ins),
        ):
            (writing.save_weights if weights_only else writing.save_model)(self.model, path, form)


def name_newest(path: Path) -> None:
    """Say in the note `checkpoint` that a TensorFlow checkpoint is the newest of its directory.

    Of any other file there is no such note.

    Raises:
        OSError: the disk.
    """
    if len(writing.files_of(path)) < 2:
        return
    from holdfast.formats.bundle_writing import state_text
    from holdfast.formats.checkpoint_file import STATE

    note, text = path.with_name(STATE), state_text(path.name)
    if not note.is_file() or note.read_bytes() != text:
        files.replace(note, text)


class Saving:
    """One thing done in a thread, whose end is waited for."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work
        self._error: BaseException | None = None
        # No daemon: a process that ends by an exception waits for a file that is being written.
        self._thread = threading.Thread(target=self._run, name="holdfast-model-file")
        self._thread.start()

    def wait(self) -> None:
        """Wait until it is done; raises what went wrong in it."""
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:
            self._error = error
