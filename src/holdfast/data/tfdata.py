"""A tf.data.Dataset as a source, on any backend.

Owns how it is gone through and its places. TensorFlow itself says the place: an iterator's
checkpoint has shuffle buffers and seeds. What it cannot save, such as a Python generator, is drawn
again from the start of the pass.

A dataset that shuffles anew each time has a counter of its own of how often it was gone through.
Whoever else goes through it moves that on, so the state each pass begins with is derived from the
first one's.

Of TensorFlow it uses what is not public, to speak of shuffles without a seed: `Dataset._inputs`
and the `_seed` and `_seed2` of shuffles.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from keras import tree

from holdfast.data import batches
from holdfast.data.drawing import isolated, seed_by
from holdfast.data.source import Place, Schedule, State, Tree
from holdfast.errors import PlanError, UnsupportedError
from holdfast.keras_private import weighted_by_class

_MOST_REPEATS = 16


class TfDataSource:
    """A source over a dataset whose elements are batches.

    Args:
        x: tf.data.Dataset.
        class_weight: as `Model.fit` takes it.
        seed: of the run.
        name: of the argument, for errors.

    Raises:
        UnsupportedError: its elements are ragged, or it is distributed.
        PlanError: it gives no batches, or what it gives is none.
    """

    schedule: Schedule
    once = False
    kind = "a tf.data.Dataset"

    def __init__(
        self, x: Any, *, class_weight: dict[int, float] | None, seed: int, name: str
    ) -> None:
        import tensorflow as tf

        self._named = f"{name} ({self.kind})"
        self._check(x)
        if class_weight is not None:
            try:
                x = weighted_by_class(x, class_weight)
            except ValueError as error:
                raise PlanError(f"class_weight with {self._named}: {error}") from error
        options = tf.data.Options()
        options.deterministic = True
        self._dataset = x.with_options(options)
        count = int(x.cardinality())
        self.length = None if count < 0 else count
        self.place: Place = "saved"
        self._nodes = list(_nodes(x))
        self._trouble = ""
        self._starts: dict[int, State] = {}
        self._again = False
        self._made = 0
        with isolated():
            seed_by(seed, 0, 0)
            self._try()

    def open(self, number: int, batch: int, state: State = None) -> _Pass:
        """Return the batches of a pass from where `state` was taken, or from its start."""
        if state is not None:
            stream = self._iterate()
            stream.go_to(state)
            return stream
        if self.place == "replayed":
            # Each time it is gone through counts where it shuffles.
            while self._made < self._tried + number:
                self._iterate()
        elif self._again:
            return self._begun(number)
        return self._iterate()

    def begins_again(self) -> None:
        """Nothing: what it gives depends on nothing that was drawn before."""

    def turn(self, number: int) -> None:
        """Nothing is to be done: `open` knows how often a dataset has shuffled."""

    def specimen(self) -> Tree:
        """Return the first batch."""
        return self._first

    def fingerprint(self) -> dict[str, Any]:
        """Return shapes, types, length, and a sum of the first batch if it is always so."""
        words = {"data": self.kind, **batches.described(self._first), "batches": self.length}
        if self._repeatable and not any(map(_shuffles, self._nodes)):
            words["contents"] = batches.content_sum(self._first)
        return words

    def sentences(self) -> list[str]:
        """Return what people are to be told of it before the first step."""
        said = []
        if any(map(_unseeded, self._nodes)):
            said.append(
                f"{self._named} shuffles without a seed: a training that was stopped goes on with "
                "the rest of the pass in its order, but later passes have another order than an "
                "uninterrupted one's. Use shuffle(..., seed=...), or call "
                "keras.utils.set_random_seed before the dataset is made."
            )
        if self.place == "replayed":
            how_long = (
                f"may take {self.length * self._seconds:.2g} s"
                if self.length
                else f"took {self._seconds:.2g} s for a batch"
            )
            said.append(
                f"{self._named} cannot be restored to a place ({self._trouble}): after a stop its "
                f"pass is drawn again from the start, which {how_long}."
            )
            if "PyFunc" in self._trouble:
                said.append(
                    "If no Python function in it keeps a state, as a generator does, set "
                    "options.experimental_external_state_policy to "
                    "tf.data.experimental.ExternalStatePolicy.IGNORE."
                )
            if not self._repeatable:
                said.append(
                    f"{self._named} is not the same each time it is gone through: unless all that "
                    "is random in it has seeds, a training that was stopped does not see what an "
                    "uninterrupted one would."
                )
        return said

    def _check(self, dataset: Any) -> None:
        import tensorflow as tf

        if not isinstance(dataset, tf.data.Dataset):
            raise UnsupportedError(
                f"{self._named} is a {type(dataset).__qualname__}; Run.fit trains in one process "
                "and takes a tf.data.Dataset that is not distributed"
            )
        for spec in tf.nest.flatten(dataset.element_spec):
            if isinstance(spec, tf.RaggedTensorSpec):
                raise UnsupportedError(
                    f"{self._named} gives ragged tensors of shape {spec.shape}; expected dense or "
                    "sparse ones. Pad them: dataset.map(lambda x, y: (x.to_tensor(), y)), or "
                    "padded_batch."
                )

    def _iterate(self) -> _Pass:
        self._made += 1
        return _Pass(iter(self._dataset), self._named)

    def _begun(self, number: int) -> _Pass:
        """Return pass `number` of a dataset that shuffles anew, from its start."""
        known = max(n for n in self._starts if n <= number)
        stream = self._iterate()
        stream.go_to(self._starts[known])  # which also sets back the dataset's counter
        if known == number:
            return stream
        repeats = any("Repeat" in type(node).__name__ for node in self._nodes)
        for _ in range((number - known) * (_MOST_REPEATS if repeats else 1)):
            stream = self._iterate()
        self._starts = {n: self._starts[n] for n in {0, known}}
        self._starts[number] = stream.state()
        return stream

    def _try(self) -> None:
        """Draw the first batches, to see what they are and whether they can be had again."""
        stream = self._iterate()
        self._keep_start(stream)
        first = stream.draw()
        if first is None:
            raise PlanError(f"{self._named} has no batches")
        self._first = first
        if self.place == "saved":
            self._try_state(stream)
        else:
            began = time.perf_counter()
            stream.draw()
            self._seconds = time.perf_counter() - began
        other = self._iterate()
        if self.place == "saved":
            self._again = not _equal(other.state(), self._starts[0])
            other.go_to(self._starts[0])
        self._repeatable = _same(other.draw(), first)
        self._tried = self._made

    def _keep_start(self, stream: _Pass) -> None:
        import tensorflow as tf

        try:
            self._starts[0] = stream.state()
        except tf.errors.OpError as error:
            self.place, self._trouble = "replayed", _reason(error)

    def _try_state(self, stream: _Pass) -> None:
        import tensorflow as tf

        began = time.perf_counter()
        try:
            state = stream.state()
            second = stream.draw()
            self._seconds = time.perf_counter() - began
            stream.go_to(state)
        except tf.errors.OpError as error:
            self.place, self._trouble = "replayed", _reason(error)
        else:
            if not _same(stream.draw(), second):
                self.place = "replayed"
                self._trouble = "its checkpoint does not lead back to its place"


class _Pass:
    """The elements of one iterator."""

    def __init__(self, iterator: Iterator[Any], kind: str) -> None:
        self._iterator: Iterator[Any] | None = iterator
        self._kind = kind

    def draw(self) -> Tree | None:
        assert self._iterator is not None
        element = next(self._iterator, None)
        if element is None:
            return None
        return batches.packed(tree.map_structure(_dense, element), self._kind)

    def state(self) -> State:
        import tensorflow as tf

        with tempfile.TemporaryDirectory(prefix="holdfast-") as directory:
            tf.train.Checkpoint(iterator=self._iterator).write(f"{directory}/place")
            return {
                file.name: np.frombuffer(file.read_bytes(), np.uint8)
                for file in sorted(Path(directory).iterdir())
            }

    def go_to(self, state: State) -> None:
        """Go on from a state, of this or another process."""
        import tensorflow as tf

        with tempfile.TemporaryDirectory(prefix="holdfast-") as directory:
            for name, content in state.items():
                (Path(directory) / name).write_bytes(content.tobytes())
            found = tf.train.Checkpoint(iterator=self._iterator).read(f"{directory}/place")
            found.assert_existing_objects_matched()

    def close(self) -> None:
        self._iterator = None


def _dense(leaf: Any) -> Any:
    import tensorflow as tf

    return tf.sparse.to_dense(leaf) if isinstance(leaf, tf.SparseTensor) else leaf


def _nodes(dataset: Any) -> Iterator[Any]:
    """Give a dataset and all it is made of, as far as it says."""
    yield dataset
    for before in getattr(dataset, "_inputs", list)():
        yield from _nodes(before)


def _shuffles(node: Any) -> bool:
    name = type(node).__name__
    return "Shuffle" in name or "Random" in name


def _unseeded(node: Any) -> bool:
    """Whether a dataset draws its seeds anew in each process: TensorFlow's mark is two zeros."""
    if not _shuffles(node):
        return False
    return not any(int(getattr(node, name, 1)) for name in ("_seed", "_seed2"))


def _reason(error: Any) -> str:
    """Return what TensorFlow says is wrong, without where in its own code."""
    said: str = error.message.partition("}} ")[2] or error.message
    return said.partition(" [Op:")[0].rstrip(".")


def _equal(one: State, other: State) -> bool:
    return all(np.array_equal(one[name], other[name]) for name in one)


def _same(one: Tree | None, other: Tree | None) -> bool:
    if one is None or other is None:
        return one is other
    return batches.content_sum(one) == batches.content_sum(other)
