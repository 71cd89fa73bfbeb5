"""What opens the corpus: `python tests/corpus/opens.py holdfast` or `keras`, for every file.

Writes `holdfast.json` or `plain_keras.json`: by model and format `equal`, `differs: what`,
`refused` (a model that Keras 3 cannot have, and an error that says so), or `fails: why`; of
weights whose model plain Keras cannot open either, `no model`. On JAX, in child processes of some
models each, so that a crash costs one of them.
"""

import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

os.environ["KERAS_BACKEND"] = "jax"
os.environ["JAX_PLATFORMS"] = "cpu"

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
MODELS_A_PROCESS = 35
RESULTS = {"holdfast": "holdfast.json", "keras": "plain_keras.json"}


def of_keras(case, form):
    """What plain Keras makes of a file, by outputs alone: its readers check no more."""
    import keras
    from corpus_models import WHOLE, distance

    inputs, expected = case.io()
    paths = case.paths()
    try:
        if form in WHOLE:
            model = keras.models.load_model(paths[form], compile=False)
        else:
            model = model_beside(paths)
            if model is None:
                return "no model"
            model.load_weights(paths[form])
        found = model(inputs, training=False)
        close = distance(found, expected) <= case.facts["tolerance"]
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        line = lines[0].replace(f"{case.files}/", "")
        return f"fails: {type(error).__name__}: {line[:120]}"
    return "equal" if close else "differs: outputs"


def model_beside(paths):
    """A model for weights alone, with its own taken away."""
    import keras
    import numpy as np

    for form in ("keras", "h5"):
        try:
            model = keras.models.load_model(paths[form], compile=False)
        except Exception:
            continue
        for weight in model.weights:
            weight.assign(np.zeros(weight.shape, "int32"))
        return model
    return None


def of_holdfast(case, form):
    from corpus_models import verdict

    return verdict(case, form)


def some(which, names):
    from corpus_models import everything

    judge = {"keras": of_keras, "holdfast": of_holdfast}[which]
    chosen = [(case, form) for case, form in everything() if case.name in names]
    found = {}
    for case, form in chosen:
        found.setdefault(case.name, {})[form] = judge(case, form)
    return found


def tried(which, batch):
    """The results of some models, by a child process; of one that crashes, that it did."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        command = [sys.executable, __file__, which, file.name, *batch]
        done = subprocess.run(command, check=False, stderr=subprocess.DEVNULL)
        if done.returncode == 0:
            return json.loads(Path(file.name).read_text())
    if len(batch) == 1:
        return {batch[0]: {"all": f"crashes: exit code {done.returncode}"}}
    return {name: found for one in batch for name, found in tried(which, [one]).items()}


def main(which):
    from corpus_models import everything

    names = list(dict.fromkeys(case.name for case, _ in everything()))
    results = {}
    batches = [names[i : i + MODELS_A_PROCESS] for i in range(0, len(names), MODELS_A_PROCESS)]
    with ThreadPoolExecutor(os.cpu_count()) as workers:
        for found in workers.map(lambda batch: tried(which, batch), batches):
            results |= found
            print(len(results), "of", len(names), flush=True)
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(results[name])}" for name in names)
    (HERE / RESULTS[which]).write_text(f"{{\n{lines}\n}}\n")


if __name__ == "__main__":
    if len(sys.argv) > 2:
        Path(sys.argv[2]).write_text(json.dumps(some(sys.argv[1], sys.argv[3:])))
    else:
        main(sys.argv[1])
