"""What is said of training: the section of the page, and the verdicts."""

from __future__ import annotations

from typing import Any

from fit.figures import (
    FAMILIES,
    FAR,
    LIMIT,
    NAMES,
    OURS,
    PEERS,
    PROGRAMS,
    Runs,
    best,
    median,
    over,
)
from tables import number, table
from verdicts import Against, Goal, Verdicts

TITLE = "Training"

AT_MOST = 1.15
FIGURES = {"epoch": "an epoch", "process": "the whole program"}

DESCRIBED = {
    "mlp": "784-64-10, SGD",
    "dropout": "Flatten-100-Dropout-10, Adam, judged by the 10,000 test images after each epoch",
    "cnn": "16 filters 3x3, max pooling, Dense 100, Dropout, Dense 10, SGD",
}

PEERS_SETTINGS = """\
How the peers are set up, by what their documentation says is fastest:

* Keras: arrays in memory, `verbose=0`, compiled by its default; `steps_per_execution`, which its
  documentation names for small models, is tried at 16 and 64 (on TensorFlow at 64; on PyTorch it
  must be 1).
* PyTorch by hand: tensors in memory, batches by `index_select` of a permutation, the fused
  optimizer, gradients set to None, metrics read once an epoch; eager, and with model, loss and
  metric through `torch.compile`; convolutions with channels last in memory.
* Lightning: `Trainer(barebones=True)`, its mode for raw speed: no logger, no progress bar, no
  checkpoints, no summary. Batches are fetched whole from tensors in memory (a sampler of batches,
  automatic batching off). The fused optimizer.
* Flax by hand: NNX's functional training loop, the state given away at each step, data on the
  device.
"""

AROUND = "what stands around the steps shows: an epoch's end with history, callbacks and journal"
REASONS = {
    ("mlp", "epoch"): AROUND,
    ("dropout", "epoch"): AROUND,
    (
        "cnn",
        "epoch",
    ): "TensorFlow's convolution is faster than XLA's on a processor, and that is the "
    "largest part of the step",
}
MOSTLY = "imports, reading the images and compiling are most of so short a program: see *Start*"


def section(found: dict[str, Any]) -> str:
    """Return the part's section."""
    lines = [_intro(found), PEERS_SETTINGS]
    for program in PROGRAMS:
        lines += [_program(program, found), ""]
    lines += ["![Seconds an epoch](benchmarks/fit.png)", ""]
    lines += ["![Seconds of the whole program](benchmarks/fit-program.png)", ""]
    lines += ["The dashed line is the limit; a peer that is quicker than Holdfast is red."]
    return "\n".join(lines)


def verdicts(found: dict[str, Any]) -> Verdicts:
    """Return how Holdfast stands against each peer, and the goals."""
    against, goals = [], []
    for program, title in PROGRAMS.items():
        runs = found["runs"][program]
        if OURS not in runs:
            continue
        for figure, words in FIGURES.items():
            what = f"{title}, {words}"
            those = _against(program, runs, figure, what)
            against += those
            goals += [_near_limit(program, runs, figure, what), _ahead(those, what)]
    return Verdicts(tuple(against), tuple(goal for goal in goals if goal is not None))


def _intro(found: dict[str, Any]) -> str:
    images, rounds, epochs = found["images"], found["rounds"], found["epochs"]
    return (
        f"Three programs on MNIST, {epochs} epochs, batches of {found['batch']}, shuffled, with "
        f"accuracy as metric, on {found['threads']} threads. *An epoch* is the median of epochs 2 "
        f"to {epochs} of a process, shuffling and validation included; *the whole program* is "
        "from the start of the process to its end: imports, reading the images, compiling, all "
        f"epochs. The CNN has the first {images['cnn']:,} images, the others {images['mlp']:,}; "
        f"rounds: {rounds}. What a contender compiles, it compiles anew in each round; only the "
        "new run of the same program finds what `Run.fit` kept from the first. After the first "
        "round only a peer's best setting goes on, and none that took "
        f"more than {FAR} times Holdfast's whole program: those were measured once.\n\n"
        "The limit is Keras's own training step in a loop by hand, data on the device, no logs, "
        "no callbacks, no checkpoints, in two forms: an epoch in one `lax.fori_loop`, or one "
        "compiled step sent after the other. The lower one counts.\n"
    )


def _program(program: str, found: dict[str, Any]) -> str:
    runs, failed = found["runs"][program], found["failed"][program]
    validated = program == "dropout"
    header = ["", "s an epoch", "least to most", "over Holdfast's", "whole program, s"]
    header += ["least to most", "over Holdfast's", "loss", "accuracy"]
    header += ["of the test images"] if validated else []
    names = [name for family in FAMILIES for name in family.settings if name in runs]
    rows = [_row(name, runs, validated) for name in names]
    lines = [f"**{PROGRAMS[program]}** ({DESCRIBED[program]}):", "", table(header, rows), ""]
    lines += [f"{NAMES[name]}: {words}.\n" for name, words in failed.items()]
    return "\n".join([*lines, _same_work(runs)])


def _row(name: str, runs: Runs, validated: bool) -> list[str]:
    cells = [NAMES[name]]
    for figure in FIGURES:
        values = [run[figure] for run in runs[name]]
        spread = f"{number(min(values))} to {number(max(values))}" if len(values) > 1 else "once"
        times = f"{over(runs, name, OURS, figure):.2f}" if OURS in runs else ""
        cells += [number(median(runs, name, figure)), spread, times]
    cells += [f"{median(runs, name, 'loss'):.3f}", f"{median(runs, name, 'accuracy'):.4f}"]
    if validated:
        cells.append(f"{median(runs, name, 'val_accuracy'):.4f}")
    return [f"**{cell.strip('*')}**" for cell in cells] if name == OURS else cells


def _same_work(runs: Runs) -> str:
    """Say whether all learned the same, by the accuracy over the last epoch."""
    learned = {name: median(runs, name, "accuracy") for name in runs}
    usual = sorted(learned.values())[len(learned) // 2]
    off = [NAMES[name].strip("*") for name, value in learned.items() if abs(value - usual) > 0.02]
    if off:
        return f"Not the same work, by its accuracy: {', '.join(off)}.\n"
    low, high = min(learned.values()), max(learned.values())
    return (
        f"All did the same work: the accuracy over the last epoch is {low:.3f} to {high:.3f}; "
        "they differ by their random numbers.\n"
    )


def _against(program: str, runs: Runs, figure: str, what: str) -> list[Against]:
    those = []
    for peer in PEERS:
        name = best(peer, runs, figure)
        if name is not None:
            times = over(runs, name, OURS, figure)
            those.append(Against(what, peer.label, times, _reason(program, figure)))
    return those


def _reason(program: str, figure: str) -> str:
    return MOSTLY if figure == "process" else REASONS[program, figure]


def _near_limit(program: str, runs: Runs, figure: str, what: str) -> Goal | None:
    limit = best(LIMIT, runs, figure)
    if limit is None:
        return None
    times = 1 / over(runs, limit, OURS, figure)
    return Goal(
        f"{what}, over the limit's",
        f"at most {AT_MOST}",
        f"{times:.2f}",
        times <= AT_MOST,
        _reason(program, figure),
    )


def _ahead(those: list[Against], what: str) -> Goal | None:
    if not those:
        return None
    nearest = min(those, key=lambda one: one.times)
    found = f"{nearest.times:.2f} times as fast as the nearest, {nearest.peer}"
    kept = nearest.place == "ahead"
    return Goal(f"{what}, beside all peers", "ahead of each", found, kept, nearest.reason)
