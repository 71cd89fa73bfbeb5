"""What the recovery part says: its section of the page, and its verdicts.

Owns the standing sentences: how each peer was set up, and why one is behind. Every number comes
from what was found.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

import racing
from tables import seconds, table
from verdicts import Against, Goal, Verdicts

TITLE = "Recovery: killed and started again"

OURS, OURS_BY_STEPS = "Holdfast", "Holdfast, by steps"
AGAINST = {
    "Keras": OURS,
    "Keras, by steps": OURS_BY_STEPS,
    "Lightning": OURS_BY_STEPS,
    "Accelerate": OURS_BY_STEPS,
}
"""Each peer, and who of Holdfast's two is told to take checkpoints as it is."""

Figures = Mapping[str, Any]


def section(found: Figures) -> str:
    """Return the Markdown of the section."""
    everyone = found["contenders"]
    kills = len(everyone[OURS]["kills"])
    return "\n\n".join(
        [
            _what(found, kills),
            table(
                [
                    "",
                    "steps done again",
                    "seconds of that",
                    "to the first new step",
                    "of it after the imports",
                    "back where it was killed",
                ],
                [_times(name, figures["kills"]) for name, figures in everyone.items()],
            ),
            "![Seconds and steps after a kill](benchmarks/recovery.png)",
            table(
                [
                    "",
                    "ended",
                    "same bits as never killed",
                    "best model kept",
                    "history whole",
                    "log whole",
                ],
                [_counts(name, figures, found["epochs"]) for name, figures in everyone.items()],
            ),
            _how(found),
            _seen(found),
        ]
    )


def verdicts(found: Figures) -> Verdicts:
    """Return Holdfast against each peer, and the goals."""
    everyone = found["contenders"]
    against = []
    for peer, name in AGAINST.items():
        ours, theirs = _pairs(everyone[name]["kills"], everyone[peer]["kills"])
        if not ours:
            continue
        for what, figure, reason in (
            (_TO_STEP, "to_step", _LATER),
            (_BACK, "back", _BACK_LATER),
            (_AGAIN, "again", _BEHIND_IN_STEPS[name]),
        ):
            times = _times_better(ours, theirs, figure)
            against.append(Against(what, _titled(peer, found), times, reason if times < 1 else ""))
    goals = [*_ahead(against), *_goals(found)]
    return Verdicts(tuple(against), tuple(goals))


_TO_STEP = "after a kill, to the first new step"
_BACK = "after a kill, back where it was"
_AGAIN = "after a kill, steps done again"

_LATER = (
    "before the first step it checks every sum and tries a step on shapes; where hooks look at "
    "steps, as here, the step is traced once more after them"
)
_BACK_LATER = f"{_LATER}; and the steps that are done again"

_BEHIND_IN_STEPS = {
    OURS: (
        "by default at most one checkpoint a second, and these epochs are shorter; in seconds see "
        "the line above"
    ),
    OURS_BY_STEPS: (
        "its training goes on while a checkpoint is written and synced, and a kill in between "
        "costs the steps done meanwhile; the peers stand still, and sync nothing"
    ),
}


def _ahead(against: list[Against]) -> list[Goal]:
    """Return the goals that say ahead of every peer."""
    goals = []
    for what in (_TO_STEP, _BACK, _AGAIN):
        peers = [one for one in against if one.what == what]
        others = [one for one in peers if one.place != "ahead"]
        reason = "not of " + ", ".join(one.peer for one in others)
        if reasons := dict.fromkeys(one.reason for one in others if one.reason):
            reason += f": {'; '.join(reasons)}"
        found = f"{len(peers) - len(others)} of {len(peers)}"
        goals.append(Goal(what, "ahead of every peer", found, not others, reason))
    return goals


def _goals(found: Figures) -> list[Goal]:
    goals = []
    for name in (OURS, OURS_BY_STEPS):
        kills = found["contenders"][name]["kills"]
        all_of_them = f"{len(kills)} of {len(kills)}"
        whole = list(range(found["epochs"]))
        for what, held in (
            ("same bits as never killed", [one.get("equal", False) for one in kills]),
            ("best model kept", [one.get("best_kept", False) for one in kills]),
            ("history whole", [one.get("returned") == whole for one in kills]),
        ):
            kept = sum(held)
            goals.append(
                Goal(
                    f"{_titled(name, found)}: {what}",
                    all_of_them,
                    f"{kept} of {len(kills)}",
                    kept == len(kills),
                    "see the section",
                )
            )
        middle = _middle(kills, "after_imports")
        goals.append(
            Goal(
                f"{_titled(name, found)}: from the imports to the first new step",
                "at most 1 s",
                seconds(middle),
                middle <= 1,
                "see the section",
            )
        )
    return goals


def _what(found: Figures, kills: int) -> str:
    return (
        f"An MLP 784-64-10 with dropout learns MNIST (its first {found['samples']:,} samples; "
        f"Adam, batch 32, shuffled, {found['epochs']} epochs of {found['steps']:,} steps, judged "
        "on the 10,000 of the test after each). From the third epoch on the learning rate is far "
        "too large, so that the best epoch lies before the kill and all later ones are worse. "
        f"SIGKILL comes in the third epoch, {kills} times, each time at another step, the same for "
        "all; the same program is started again until it ends. Each training begins in an empty "
        "directory; what was compiled before is there, as it is the second time one trains. "
        "Every program has a hook on every step, which tells where it stands."
    )


def _how(found: Figures) -> str:
    every = found["every"]
    return "\n".join(
        [
            "*Holdfast* is `Run.fit` with nothing chosen, and with "
            f"`every=Every(steps={every})`. The peers, as their documentation says:\n",
            "* *Keras*: `BackupAndRestore(double_checkpoint=True)`, at each epoch's end or with "
            f"`save_freq={every}`, `ModelCheckpoint(save_best_only=True)`, "
            "`CSVLogger(append=True)`; on JAX, which was told to keep all that it compiles.",
            f'* *Lightning*: `ckpt_path="last"`, `ModelCheckpoint(every_n_train_steps={every}, '
            'save_last="link")`, a second `ModelCheckpoint` for the best, `CSVLogger`, '
            "`seed_everything`, `deterministic=True`.",
            f"* *Accelerate*: `save_state` each {every} steps and at an epoch's end, `load_state`, "
            "`skip_first_batches`, the seedable sampler with `set_epoch`; best score and history "
            "are the program's own, registered with `register_for_checkpointing`.",
        ]
    )


def _seen(found: Figures) -> str:
    """Return what was found in words: who fails in what, and why."""
    everyone = found["contenders"]
    said = [_compiled(everyone[OURS]), _lost(everyone[OURS]["kills"])]
    for name, figures in everyone.items():
        if not _repeatable(figures):
            said.append(
                f"{_titled(name, found)}: two trainings that nobody killed differ in their bits "
                "already."
            )
        failures = [words for one in figures["kills"] for words in one["failures"]]
        if failures:
            said.append(
                f"{_titled(name, found)}: {len(failures)} starts failed; the first with "
                f"`{failures[0]}`."
            )
    for peer, (wrong, reason) in _REASONS.items():
        if any(not one.get(wrong, False) for one in everyone[peer]["kills"] if one["ended"]):
            said.append(reason)
    return " ".join(said)


_REASONS = {
    "Keras": (
        "best_kept",
        "Keras's `ModelCheckpoint` begins with no best score in a new process and overwrites the "
        "best model with a worse one, and its `fit` returns the epochs of the last process alone.",
    ),
    "Keras, by steps": (
        "equal",
        "Keras's `BackupAndRestore` keeps of the random state only that of layers, and begins the "
        "interrupted epoch anew, with the weights of its middle where `save_freq` is a number.",
    ),
    "Lightning": (
        "equal",
        "Lightning's checkpoint has no random state: order and dropout after it are others. One "
        "that is taken at an epoch's last step does not know that epoch's validation: after a kill "
        "soon after it, the best model it names is one that was deleted for a better, and the "
        "better lies there unnamed.",
    ),
}
"""For each peer a figure, and what to say where it does not hold in all kills."""


def _compiled(figures: Figures) -> str:
    whole = [one["after_imports"] for one in figures["whole"] if "digest" in one]
    if not whole:
        return "Holdfast's first attempt failed."
    first = statistics.median(whole)
    return (
        f"Holdfast's first attempt, with nothing compiled, needs {seconds(first)} from the imports "
        "to its first step; the attempt after a kill "
        f"{seconds(_middle(figures['kills'], 'after_imports'))}."
    )


def _lost(kills: list[Figures]) -> str:
    return (
        "With nothing chosen Holdfast takes at most one checkpoint a second, so that what a kill "
        "costs is bounded in seconds and not in steps: here "
        f"{seconds(statistics.median(_redoing(kills)))} of work."
    )


def _redoing(kills: list[Figures]) -> list[float]:
    """Return the seconds that it took to do again what was lost."""
    return [max(0.0, one["back"] - one["to_step"]) for one in kills if one["ended"]] or [0.0]


def _times(name: str, kills: list[Figures]) -> list[str]:
    ended = [one for one in kills if one["ended"]]
    if not ended:
        return [_bold(name), "never ended", "", "", "", ""]
    again = [one["again"] for one in ended]
    return [
        _bold(name),
        f"{statistics.median(again):,.0f} ({min(again):,} to {max(again):,})",
        seconds(statistics.median(_redoing(ended))),
        seconds(_middle(ended, "to_step")),
        seconds(_middle(ended, "after_imports")),
        seconds(_middle(ended, "back")),
    ]


def _counts(name: str, figures: Figures, epochs: int) -> list[str]:
    kills = figures["kills"]
    whole = list(range(epochs))

    def of(held: list[bool]) -> str:
        return f"{sum(held)} of {len(kills)}"

    def listed(what: str) -> str:
        if all(one.get(what) is None for one in kills):
            return "has none"
        return of([one.get(what) == whole for one in kills])

    return [
        _bold(name),
        of([one["ended"] for one in kills]),
        of([one.get("equal", False) for one in kills])
        if _repeatable(figures)
        else "not repeatable",
        of([one.get("best_kept", False) for one in kills]),
        listed("returned"),
        listed("logged"),
    ]


def _bold(name: str) -> str:
    return f"**{name}**" if name in (OURS, OURS_BY_STEPS) else name


def _titled(name: str, found: Figures) -> str:
    """Return a contender's name as it is read outside the section."""
    if name in ("Lightning", "Accelerate"):
        return f"{name}, each {found['every']} steps"
    base, _, by_steps = name.partition(", ")
    if by_steps:
        return f"{base}, each {found['every']} steps"
    return f"{base}, by default" if base == OURS else f"{base} BackupAndRestore, each epoch"


def _repeatable(figures: Figures) -> bool:
    digests = {one.get("digest") for one in figures["whole"]}
    return len(digests) == 1 and None not in digests


def _middle(kills: list[Figures], figure: str) -> float:
    values = [one[figure] for one in kills if one["ended"]]
    return statistics.median(values) if values else float("inf")


def _pairs(ours: list[Figures], theirs: list[Figures]) -> tuple[list[Figures], list[Figures]]:
    """Return the kills that both came through."""
    both = [(a, b) for a, b in zip(ours, theirs, strict=True) if a["ended"] and b["ended"]]
    return [a for a, _ in both], [b for _, b in both]


def _times_better(ours: list[Figures], theirs: list[Figures], figure: str) -> float:
    """Return how many times as good as theirs ours is; steps by their sums, since one may be 0."""
    if figure == "again":
        return (sum(b[figure] for b in theirs) or 1) / (sum(a[figure] for a in ours) or 1)
    return racing.ratio(racing.values(theirs, figure), racing.values(ours, figure))
