"""Real trainings, killed with SIGKILL at random moments of all they do, again and again.

    python bench/soak.py [--kills N] [--minutes N] [--seed N] [--children N] [--json]

Each life is a process of its own, imports and all, on the directory that the one before it has
left. It is killed while it starts, imports, builds, opens the run, resumes, compiles, trains,
validates or ends, while a thread writes a checkpoint, prunes or saves a model, or at an operation
on the disk. After each kill the run must be readable, sound, and no further back than its newest
checkpoint. A training that comes to its end must have the digest, the history and the files of one
that was never killed; then a new one begins. What does not hold ends the soak at once, with exit
code 1: the directory stays, and is named.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from lives import PHASES, SoakError
from soaking import Found, Soak

KILLS = 100


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, help=f"{KILLS} where no minutes are given either")
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 2**32)
    parser.add_argument("--children", type=int, default=2, help="processes at a time")
    parser.add_argument("--json", action="store_true", help="print what was found as JSON")
    options = parser.parse_args()
    kills = options.kills
    if kills is None and options.minutes is None:
        kills = KILLS
    folder = Path(tempfile.mkdtemp(prefix="holdfast-soak-"))
    soak = Soak(
        folder,
        options.seed,
        kills=kills,
        seconds=None if options.minutes is None else options.minutes * 60,
        children=options.children,
    )
    progress = Progress(kills, options.minutes)
    progress.say(f"seed {options.seed}, in {folder}")
    error: BaseException | None = None
    try:
        soak.run(lambda: progress.show(soak.found))
    except (SoakError, KeyboardInterrupt) as caught:
        error = caught
    progress.end(soak.found)
    seconds = time.monotonic() - progress.began
    wrong = None
    if isinstance(error, SoakError):
        wrong = "\n".join([str(error), *getattr(error, "__notes__", ())])
    if wrong is None:
        shutil.rmtree(folder)
    if options.json:
        found = {"seed": options.seed, "seconds": round(seconds, 1), **soak.found.to_json()}
        print(json.dumps({**found, "wrong": wrong}, indent=2))
    else:
        print(table(soak.found, seconds))
    if error is None:
        return 0
    if wrong is None:
        print("stopped before its end", file=sys.stderr)
        return 130
    print(f"\nseed {options.seed}; all of it is in {folder}\n{wrong}", file=sys.stderr)
    return 1


class Progress:
    """One line that says how far it is: over itself on a terminal, now and then elsewhere."""

    def __init__(self, kills: int | None, minutes: float | None) -> None:
        self.began = time.monotonic()
        self._goal = [f"of {kills}"] if kills is not None else []
        self._minutes = f" of {minutes:g}" if minutes is not None else ""
        self._live = sys.stderr.isatty()
        self._shown = self.began

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def show(self, found: Found) -> None:
        now = time.monotonic()
        if self._live:
            print(f"\r\x1b[K{self._line(found)}", end="", file=sys.stderr, flush=True)
        elif now - self._shown > 30:
            self._shown = now
            self.say(self._line(found))

    def end(self, found: Found) -> None:
        self.say(("\r\x1b[K" if self._live else "") + self._line(found))

    def _line(self, found: Found) -> str:
        kills = " ".join([str(found.kills), *self._goal])
        most = ", ".join(f"{name} {count}" for name, count in found.phases.most_common(4))
        return (
            f"{(time.monotonic() - self.began) / 60:.1f}{self._minutes} min: {kills} kills"
            f"{f' ({most}, …)' if most else ''}, {found.ended.total()} trainings ended well"
        )


def table(found: Found, seconds: float) -> str:
    """Return what was found, in words."""
    ended = ", ".join(f"{count} {name}" for name, count in sorted(found.ended.items())) or "none"
    lines = [
        f"{found.kills} kills in {seconds / 60:.1f} min; trainings that ended with the digest, the",
        f"history and the files of the one that was never killed: {found.ended.total()} ({ended})",
        "",
        "| the program was | kills |",
        "| --- | --- |",
        *(f"| {name} | {found.phases[name]} |" for name in PHASES),
        "",
        "| of these, meanwhile a thread was | kills |",
        "| --- | --- |",
        *(f"| {name} | {count} |" for name, count in found.beside.most_common()),
        "",
        f"{found.operations} came at an operation on the disk, {found.cold} in a process that",
        f"found nothing compiled; {found.halves} left a file half written, or one needed no more.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
