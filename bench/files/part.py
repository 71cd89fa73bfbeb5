"""Old files: what each library opens of the corpus, and how long a large model takes to open.

Owns what is measured and with what. Leaves the files to `corpus`, the words to `section`, the
pictures to `drawing`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import racing
from environments import EXTRAS
from files import corpus, loading
from racing import Contender

NEEDS_MNIST = False
ROUNDS = 2
ENVIRONMENTS = (EXTRAS, "tensorflow", "tensorflow-2.15")

EVERY = 15
"""One file of so many is opened, of each age and format."""
LAYERS = 5
"""Of the large model: 67 MB each."""

HERE = Path(__file__).parent
OPENERS = {
    "holdfast": Contender(
        "holdfast", HERE / "opens.py", ("holdfast",), EXTRAS, {"JAX_PLATFORMS": "cpu"}
    ),
    # TensorFlow is the backend on which Keras 3 has the most layers, and reads SavedModels.
    "keras": Contender(
        "keras", HERE / "opens.py", ("keras",), "tensorflow", {"KERAS_BACKEND": "tensorflow"}
    ),
    "tensorflow": Contender("tensorflow", HERE / "opens.py", ("tf.keras",), "tensorflow-2.15"),
}


def measure(rounds: int, folder: Path, mnist: Path) -> dict[str, Any]:
    """Return what opened, file by file, and the seconds of the large model in each round."""
    return {"opened": opened(folder / "corpus"), "loaded": loaded(folder, rounds)}


def opened(folder: Path) -> dict[str, Any]:
    chosen = corpus.jobs(folder, EVERY)
    found = corpus.tried("files", OPENERS, chosen)
    rows = [
        {
            "age": job["age"],
            "name": job["name"],
            "form": job["form"],
            "refused": job["refused"],
            # What a library says may name where the corpus lay.
            **{who: said[place].replace(f"{folder}/", "") for who, said in found.items()},
        }
        for place, job in enumerate(chosen)
    ]
    return {"every": EVERY, "files": rows, "committed": corpus.committed()}


def loaded(folder: Path, rounds: int) -> dict[str, Any]:
    program = HERE / "loading.py"
    written = racing.run(Contender("write", program, ("write", str(folder), str(LAYERS)), EXTRAS))
    contenders = [
        Contender(f"{what}, {form}", program, (what, form, str(folder), str(LAYERS)), EXTRAS)
        for form in loading.FILES
        for what in ("read", "holdfast", "keras")
        if what != "keras" or form in loading.BY_KERAS
    ]
    runs = racing.race("files", contenders, rounds)
    seconds = {
        form: {
            what: racing.values(runs[f"{what}, {form}"], "seconds")
            for what in ("read", "holdfast", "keras")
            if f"{what}, {form}" in runs
        }
        for form in loading.FILES
    }
    return {"layers": LAYERS, "bytes": written["bytes"], "seconds": seconds}
