"""The calls of fit in a program: each is a run of its own, found again at the next start.

Owns which run a call is, and what of a changed program is trained anew. Leaves training to
`training`, and the program's directory to `program`.

In a program the n-th call of fit is the n-th run. In a notebook, where cells are run in any order
and again, a call is the run that has its plan; of several alike in one execution of a cell, the
first is the first.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import keras
from blake3 import blake3

from holdfast.compat import old_callbacks, old_logs, old_methods, saved_places
from holdfast.compat.old import place, say
from holdfast.compat.patches import Patches
from holdfast.compat.program import Program
from holdfast.engines.choose import check_backend
from holdfast.errors import PlanChangedError, UnsupportedError
from holdfast.events import CallBegan, Finished
from holdfast.run import Run
from holdfast.state import variables
from holdfast.store.identity import load_identity
from holdfast.store.layout import Layout
from holdfast.store.retention import Keep
from holdfast.training.attempt import train
from holdfast.training.cadence import Every
from holdfast.training.describe import differences
from holdfast.training.plan import Plan, make_plan
from holdfast.training.signals import Interruption
from holdfast.types import Json

Difference = tuple[str, str, str]

_WEIGHTS = "weights before the call"
_PROGRAM = "program"
# What of a callback decides how a training ends, by names that Keras's and Holdfast's share.
_SETTINGS = (
    "monitor",
    "min_delta",
    "patience",
    "patience_steps",
    "patience_seconds",
    "baseline",
    "restore_best_weights",
    "start_from_epoch",
    "factor",
    "cooldown",
    "min_lr",
    "save_best_only",
    "save_weights_only",
    "save_freq",
    "save_top_k",
    "period",
)


class Calls(Protocol):
    """Which run a call of fit is."""

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
        for name, parameter in inspect.signature(plain).parameters.items()
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
        self._inside = False

    def fit(self, model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        every, keep = kwargs.pop("every", None), kwargs.pop("keep", None)
        arguments = {**self._defaults, **old_methods.fit_arguments(args, kwargs)}
        arguments["callbacks"] = old_callbacks.today(arguments["callbacks"], model)
        if self._inside or not self._program.is_here:
            if not self._inside:
                say(f"{place()}fit in a child process of the program is not kept")
            return self._plain(model, **arguments)
        self._program.call += 1
        self._inside = True
        try:
            history = self._train(model, arguments, every or Every(), keep or Keep())
        finally:
            self._inside = False
        _tell(arguments["callbacks"], history)
        return old_logs.both_names(history)

    def _train(self, model: Any, arguments: dict[str, Any], every: Every, keep: Keep) -> Any:
        call = self._program.call
        try:
            check_backend()
            plan = make_plan(model, **arguments)
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

    def find(self, model: Any, plan: Plan) -> Layout:
        call = self._program.call
        layout = self._program.runs().get(call)
        if layout is None or not layout.manifests():
            return self._begin(model, plan, layout)
        began = self._program.last_began(call, layout)
        before = _before(model, plan)
        found = _plan_changes(layout, plan)
        if began is not None:
            found += self._other_start(began, before) if not found else []
            found += self._fewer_epochs(layout, began, plan)
        if found:
            return self.changed(model, plan, found)
        if began is None or began.epochs != plan.epochs:
            self._other_epochs(layout, began, plan)
            self._program.began(call, layout, plan.epochs, before)
        return layout

    def changed(self, model: Any, plan: Plan, found: Sequence[Difference]) -> Layout:
        call = self._program.call
        moved = self._program.move_aside(call)
        self._say_changed(
            f"call {call} of fit is not what it was at the last start",
            [f"{name}: was {was}, is {now}" for name, was, now in found],
            f"It is trained anew{', and so are the calls after it' if len(moved) > 1 else ''}. "
            f"What was there is kept as {', '.join(path.name for path in moved)}.",
        )
        return self._begin(model, plan, None)

    def _begin(self, model: Any, plan: Plan, layout: Layout | None) -> Layout:
        call = self._program.call
        layout = layout or self._program.new_run(call, model.name)
        self._program.began(call, layout, plan.epochs, _before(model, plan))
        return layout

    def _other_start(self, began: CallBegan, before: Mapping[str, Json]) -> list[Difference]:
        """Return where a training would start from something else than it did.

        Weights that differ though nobody has touched the program are no change of it: many
        programs load what they saved before they died, to go on by themselves.
        """
        found = differences(began.before, before)
        touched = any(name == _PROGRAM for name, *_ in found)
        return [
            difference
            for difference in found
            if difference[0] != _PROGRAM and (touched or difference[0] != _WEIGHTS)
        ]

    def _fewer_epochs(self, layout: Layout, began: CallBegan, plan: Plan) -> list[Difference]:
        """Return the epochs as a difference, where the run is beyond those now asked for."""
        if plan.epochs >= began.epochs:
            return []
        at = Run(layout.root).position
        if (at.epoch, at.step) <= (plan.epochs, 0):
            return []
        return [("epochs", str(began.epochs), str(plan.epochs))]

    def _other_epochs(self, layout: Layout, began: CallBegan | None, plan: Plan) -> None:
        """The run goes on to other epochs: what came after it began from what it will not be."""
        if began is None or self._has_stopped(layout):
            return
        call = self._program.call
        moved = self._program.move_aside(call + 1)
        if moved:
            self._say_changed(
                f"call {call} of fit goes on from {began.epochs} to {plan.epochs} epochs",
                [],
                "The calls after it are trained anew. What was there is kept as "
                f"{', '.join(path.name for path in moved)}.",
            )

    def _has_stopped(self, layout: Layout) -> bool:
        """Whether a callback ended the run: then other epochs are no change."""
        last = next(Run(layout.root).journal().newest(Finished), None)
        return isinstance(last, Finished) and last.reason == "stopped"

    def _say_changed(self, what: str, lines: Sequence[str], then: str) -> None:
        say("\n  ".join([f"{place()}{what}{':' if lines else '.'}", *lines, then]))


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

    def find(self, model: Any, plan: Plan) -> Layout:
        now = self._execution()
        if now != self._now:
            self._now = now
            self._met.clear()
        runs = self._program.runs()
        alike = [layout for layout in runs.values() if not _plan_changes(layout, plan)]
        number = self._met[plan.fingerprint]
        self._met[plan.fingerprint] += 1
        return alike[number] if number < len(alike) else self._new(model, plan, runs)

    def changed(self, model: Any, plan: Plan, found: Sequence[Difference]) -> Layout:
        return self._new(model, plan, self._program.runs())

    def _new(self, model: Any, plan: Plan, runs: Mapping[int, Layout]) -> Layout:
        number = max(runs, default=0) + 1
        layout = self._program.new_run(number, model.name)
        self._program.began(number, layout, plan.epochs, {})
        return layout


def _tell(callbacks: Any, history: Any) -> None:
    """Give the program's own `History()` what it would have recorded: the run's is in its place."""
    for callback in keras.tree.flatten(callbacks or []):
        if type(callback) is keras.callbacks.History and callback is not history:
            callback.history, callback.epoch = history.history, history.epoch
            old_logs.both_names(callback)


def _plan_changes(layout: Layout, plan: Plan) -> list[Difference]:
    """Return where a run has another plan, but for a learning rate: training may change that."""
    return [
        difference
        for difference in differences(load_identity(layout).plan, plan.description)
        if not difference[0].endswith("learning_rate")
    ]


def _before(model: Any, plan: Plan) -> dict[str, Json]:
    """Return what a training starts from, besides its plan."""
    sums = blake3()
    for group in variables.groups(model)[:3]:
        for variable in group:
            if not variable.path.endswith("learning_rate"):  # of that the plan knows more
                sums.update(keras.ops.convert_to_numpy(variable.value).tobytes())
    return {
        _WEIGHTS: sums.hexdigest(16),
        _PROGRAM: _program(),
        "callbacks": [_settings(callback) for callback in plan.callbacks],
    }


def _program() -> str:
    """Return the digest of the program's file and arguments."""
    path = getattr(sys.modules.get("__main__"), "__file__", None) or ""
    sums = blake3(repr(sys.argv).encode())
    with contextlib.suppress(OSError):
        sums.update(Path(path).read_bytes())
    return sums.hexdigest(16)


def _settings(callback: Any) -> dict[str, Json]:
    known = {name: getattr(callback, name, None) for name in _SETTINGS}
    plain = (bool, int, float, str)
    return {
        "class": type(callback).__name__,
        **{name: value for name, value in known.items() if isinstance(value, plain)},
    }
