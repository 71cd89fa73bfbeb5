"""The calls of fit in a program: each is a run of its own, found again at the next start.

Owns which run a call is, and what of a changed program is trained anew. Leaves training to
`training`, and the program's directory to `program`.

In a program the n-th call of fit is the n-th run. In a notebook, where cells are run in any order
and again, a call is the run that has its plan; of several alike in one execution of a cell, the
first is the first.
"""

from __future__ import annotations

import functools
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import keras

from holdfast.compat import before, old_callbacks, old_logs, old_methods, saved_places
from holdfast.compat.before import Difference
from holdfast.compat.old import place, say
from holdfast.compat.patches import Patches
from holdfast.compat.program import Program
from holdfast.data.adapt import comes_in_batches
from holdfast.engines.choose import check_backend
from holdfast.errors import HoldfastError, PlanChangedError, UnsupportedError
from holdfast.events import CallBegan, Finished
from holdfast.run import Run
from holdfast.store.identity import load_identity
from holdfast.store.layout import Layout
from holdfast.store.retention import Keep
from holdfast.training.attempt import kept_seed, train
from holdfast.training.cadence import Every
from holdfast.training.describe import differences
from holdfast.training.opening import note_trained
from holdfast.training.plan import Plan, make_plan
from holdfast.training.signals import Interruption
from holdfast.types import Json


class Calls(Protocol):
    """Which run a call of fit is."""

    def seed(self, x: Any) -> int | None:
        """Return the seed of the run that the call which is being made may be, if there is one."""
        ...

    def find(self, model: Any, plan: Plan) -> Layout:
        """Return the run of the call that is being made."""
        ...

    def changed(self, model: Any, plan: Plan, found: Sequence[Difference]) -> Layout:
        """Return the run to train in, where the one found has another plan."""
        ...


def put(patches: Patches, program: Program, calls: Calls) -> None:
    """Make `keras.Model.fit` durable."""
    plain = keras.Model.fit
    defaults = {
        name: parameter.default
        for name, parameter in old_methods.fit_signature().parameters.items()
        if name != "self"
    }
    fitting = _Fitting(program, calls, plain, defaults)

    @functools.wraps(plain)
    def fit(self: Any, *args: Any, **kwargs: Any) -> Any:
        return fitting.fit(self, args, kwargs)

    patches.set(keras.Model, "fit", fit)


class _Fitting:
    """What stands in for `keras.Model.fit`.

    Args:
        program: whose calls these are.
        calls: which run each is.
        plain: Keras's own.
        defaults: of its arguments.
    """

    def __init__(
        self,
        program: Program,
        calls: Calls,
        plain: Callable[..., Any],
        defaults: Mapping[str, Any],
    ) -> None:
        self._program = program
        self._calls = calls
        self._plain = plain
        self._defaults = defaults
        # The thread that a call of fit is being made in.
        self._thread: int | None = None

    def fit(self, model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        every, keep = kwargs.pop("every", None), kwargs.pop("keep", None)
        arguments = {**self._defaults, **old_methods.fit_arguments(args, kwargs)}
        arguments["callbacks"] = old_callbacks.today(arguments["callbacks"])
        here = threading.get_ident()
        why = ""
        if not self._program.is_here:
            why = "in a process that the program has forked"
        elif self._thread not in (None, here):
            why = "in a thread, beside another call of fit"
        if why:
            say(f"{place()}fit {why} is not kept")
        if why or self._thread == here:  # else a callback trains another model: part of the call
            return self._plain(model, **arguments)
        self._program.call += 1
        self._thread = here
        try:
            history = self._train(model, arguments, every or Every(), keep or Keep())
        finally:
            self._thread = None
        _tell(arguments["callbacks"], history)
        return old_logs.both_names(history)

    def _train(self, model: Any, arguments: dict[str, Any], every: Every, keep: Keep) -> Any:
        call = self._program.call
        try:
            check_backend()
            plan = make_plan(model, seed=self._calls.seed(arguments["x"]), **arguments)
        except UnsupportedError as error:
            say(f"{place()}call {call} of fit is trained by Keras alone and not kept: {error}")
            return self._plain(model, **arguments)
        old_callbacks.rename(plan.callbacks, model)
        for callback in plan.callbacks:
            if hasattr(callback, "filepath"):
                saved_places.note(callback.filepath)
        work = functools.partial(
            train,
            model=model,
            plan=plan,
            every=every,
            keep=keep,
            fresh=False,
            take_over=False,
        )
        layout = self._calls.find(model, plan)
        try:
            return work(layout, interruption=Interruption())
        except PlanChangedError as error:
            layout = self._calls.changed(model, plan, error.differences)
            return work(layout, interruption=Interruption())


class Numbered:
    """The calls of a program: the n-th is the n-th run."""

    def __init__(self, program: Program) -> None:
        self._program = program

    def seed(self, x: Any) -> int | None:
        layout = self._program.runs().get(self._program.call)
        return None if layout is None else kept_seed(layout)

    def find(self, model: Any, plan: Plan) -> Layout:
        call, now = self._program.call, before.describe(model, plan)
        layout = self._program.runs().get(call)
        if layout is None or not layout.manifests():
            return self._begin(model, plan, layout, now)
        found = self._changes(call, layout, plan, now)
        if found:
            later = self._later(call, plan, now)
            if later is None:
                return self._anew(model, plan, found, now)
            call, layout = later
            self._program.call = call
        self._go_on(call, layout, model, plan, now)
        return layout

    def changed(self, model: Any, plan: Plan, found: Sequence[Difference]) -> Layout:
        return self._anew(model, plan, found, before.describe(model, plan))

    def _go_on(
        self, call: int, layout: Layout, model: Any, plan: Plan, now: Mapping[str, Json]
    ) -> None:
        """Record what is other than when the call began, where that is no change."""
        began = self._program.last_began(call, layout)
        if began is None:
            self._program.began(call, layout, plan.epochs, now)
            return
        if began.epochs != plan.epochs:
            self._other_epochs(call, layout, began, plan)
        touched = before.is_touched(began.before, now)
        if not touched:
            # Whatever rate its model has by now: the program is what it was.
            note_trained(model)
        if touched or began.epochs != plan.epochs:
            self._program.began(call, layout, plan.epochs, before.accepted(began.before, now))

    def _changes(
        self, call: int, layout: Layout, plan: Plan, now: Mapping[str, Json]
    ) -> list[Difference]:
        """Return where the run of a call is another than the one that is being made."""
        found = _plan_changes(layout, plan)
        began = self._program.last_began(call, layout)
        if began is None:
            return found
        # Another architecture has other weights too: that would only say less.
        found = found or before.changes(began.before, now)
        return found + _fewer_epochs(layout, began, plan)

    def _later(self, call: int, plan: Plan, now: Mapping[str, Json]) -> tuple[int, Layout] | None:
        """Return the first later call that this one is, or None.

        A program may leave out a training whose files it finds.
        """
        for number, layout in self._program.runs().items():
            there = number > call and layout.manifests()
            if there and not self._changes(number, layout, plan, now):
                return number, layout
        return None

    def _anew(
        self, model: Any, plan: Plan, found: Sequence[Difference], now: Mapping[str, Json]
    ) -> Layout:
        call = self._program.call
        moved = self._program.move_aside(call)
        _say_changed(
            f"call {call} of fit is not what it was",
            [before.told(difference) for difference in found],
            f"It is trained anew{', and so are the calls after it' if len(moved) > 1 else ''}.",
            moved,
        )
        return self._begin(model, plan, None, now)

    def _begin(
        self, model: Any, plan: Plan, layout: Layout | None, now: Mapping[str, Json]
    ) -> Layout:
        call = self._program.call
        layout = layout or self._program.new_run(call, model.name)
        self._program.began(call, layout, plan.epochs, now)
        return layout

    def _other_epochs(self, call: int, layout: Layout, began: CallBegan, plan: Plan) -> None:
        """The run goes on to other epochs: what came after it began from what it will not be."""
        if _has_stopped(layout):
            return
        moved = self._program.move_aside(call + 1)
        if moved:
            _say_changed(
                f"call {call} of fit goes on from {began.epochs} to {plan.epochs} epochs",
                [],
                "The calls after it are trained anew.",
                moved,
            )


class ByPlan:
    """The calls of a notebook: a call is the run that has its plan.

    Args:
        program: the notebook.
        execution: returns a number that each execution of a cell has for itself.
    """

    def __init__(self, program: Program, execution: Callable[[], int]) -> None:
        self._program = program
        self._execution = execution
        self._now = -1
        self._met: Counter[str] = Counter()

    def seed(self, x: Any) -> int | None:
        # Which run it is shows its plan, and that has sums of batches, which are drawn by a seed.
        return self._program.seed if comes_in_batches(x) else None

    def find(self, model: Any, plan: Plan) -> Layout:
        execution = self._execution()
        if execution != self._now:
            self._now = execution
            self._met.clear()
        now = before.describe(model, plan)
        same: list[Layout] = []
        alike: list[Layout] = []
        for call, layout in self._program.runs().items():
            found = self._changes(call, layout, plan, now)
            if found is not None:
                (alike if found else same).append(layout)
        # A learning rate that training has changed is no difference, but the same one is nearer.
        runs = same or alike
        number = self._met[plan.fingerprint]
        self._met[plan.fingerprint] += 1
        if number >= len(runs):
            return self._new(model, plan, now)
        layout = runs[number]
        if next(Run(layout.root).journal().newest(Finished), None) is not None:
            say(
                f"{place()}this call of fit is the run {layout.root.name}; what was trained there "
                "is not trained again"
            )
        return layout

    def changed(self, model: Any, plan: Plan, found: Sequence[Difference]) -> Layout:
        return self._new(model, plan, before.describe(model, plan))

    def _changes(
        self, call: int, layout: Layout, plan: Plan, now: Mapping[str, Json]
    ) -> list[Difference] | None:
        """Return the rates that a run had otherwise, or None where it is another call's."""
        try:
            exact = differences(load_identity(layout).plan, plan.description)
        except (HoldfastError, OSError):  # half begun, or damaged: that is for verify to say
            return None
        began = self._program.last_began(call, layout)
        other = [item for item in exact if not _is_rate(item)]
        if began is not None:
            told = {key: began.before.get(key) for key in ("callbacks",)}
            other += differences(told, {"callbacks": now["callbacks"]})
            other += _fewer_epochs(layout, began, plan)
        return None if other else exact

    def _new(self, model: Any, plan: Plan, now: Mapping[str, Json]) -> Layout:
        number = max(self._program.runs(), default=0) + 1
        layout = self._program.new_run(number, model.name)
        self._program.began(number, layout, plan.epochs, now)
        return layout


def _fewer_epochs(layout: Layout, began: CallBegan, plan: Plan) -> list[Difference]:
    """Return the epochs as a difference, where the run is beyond those now asked for."""
    if plan.epochs >= began.epochs:
        return []
    at = Run(layout.root).position
    if (at.epoch, at.step) <= (plan.epochs, 0):
        return []
    return [("epochs", str(began.epochs), str(plan.epochs))]


def _has_stopped(layout: Layout) -> bool:
    """Whether a callback ended the run: then other epochs are no change."""
    last = next(Run(layout.root).journal().newest(Finished), None)
    return isinstance(last, Finished) and last.reason == "stopped"


def _plan_changes(layout: Layout, plan: Plan) -> list[Difference]:
    """Return where a run has another plan, but for a learning rate: training may change that."""
    found = differences(load_identity(layout).plan, plan.description)
    return [difference for difference in found if not _is_rate(difference)]


def _is_rate(difference: Difference) -> bool:
    return difference[0].endswith("learning_rate")


def _say_changed(what: str, lines: Sequence[str], then: str, moved: Sequence[Path]) -> None:
    kept = f"What was there is kept as {', '.join(path.name for path in moved)}."
    say("\n  ".join([f"{place()}{what}{':' if lines else '.'}", *lines, f"{then} {kept}"]))


def _tell(callbacks: Any, history: Any) -> None:
    """Give the program's own `History()` what it would have recorded: the run's is in its place."""
    for callback in keras.tree.flatten(callbacks or []):
        if type(callback) is keras.callbacks.History and callback is not history:
            callback.history, callback.epoch = history.history, history.epoch
            old_logs.both_names(callback)
