"""What Keras 3 alone makes of the corpus: `python tests/corpus/plain_keras.py` -> plain_keras.json.

For every file "equal", "differs" or the first line of the error; Keras runs on JAX, in child
processes of some models each, so that a crash costs one of them.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ["KERAS_BACKEND"] = "jax"
os.environ["JAX_PLATFORMS"] = "cpu"

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
WHOLE = ("h5", "keras", "saved_model")
MODELS_A_PROCESS = 35


def judge(case, kind):
    """Whole files are opened; weights go into the model of the `.keras` or `.h5` beside them."""
    import keras
    from corpus_models import distance

    inputs, expected = case.io()
    paths = case.paths()
    try:
        if kind in WHOLE:
            model = keras.models.load_model(paths[kind], compile=False)
        else:
            model = model_beside(paths)
            if model is None:
                return "no model: Keras 3 opens neither the .keras nor the .h5 beside it"
            model.load_weights(paths[kind])
        found = model(inputs, training=False)
        close = distance(found, expected) <= case.facts["tolerance"]
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        line = lines[0].replace(f"{case.files}/", "")
        return f"fails: {type(error).__name__}: {line[:160]}"
    return "equal" if close else "differs"


def model_beside(paths):
    """A model for weights alone, with its own taken away."""
    import keras
    import numpy as np

    for kind in ("keras", "h5"):
        try:
            model = keras.models.load_model(paths[kind], compile=False)
        except Exception:
            continue
        for weight in model.weights:
            weight.assign(np.zeros(weight.shape, "int32"))
        return model
    return None


def some(names):
    from corpus_models import cases

    chosen = [case for case in cases() if case.name in names]
    return {case.name: {kind: judge(case, kind) for kind in case.paths()} for case in chosen}


def main():
    names = [facts["name"] for facts in json.loads((HERE / "corpus.json").read_text())]
    results = {}
    batches = [names[i : i + MODELS_A_PROCESS] for i in range(0, len(names), MODELS_A_PROCESS)]
    while batches:
        batch = batches.pop(0)
        with tempfile.NamedTemporaryFile(suffix=".json") as file:
            command = [sys.executable, __file__, file.name, *batch]
            done = subprocess.run(command, check=False, stderr=subprocess.DEVNULL)
            if done.returncode == 0:
                results |= json.loads(Path(file.name).read_text())
            elif len(batch) > 1:
                batches += [[name] for name in batch]
            else:
                results[batch[0]] = {"all": f"crashes: exit code {done.returncode}"}
        print(len(results), "of", len(names), flush=True)
    lines = ",\n".join(f"{json.dumps(n)}: {json.dumps(results[n])}" for n in names)
    (HERE / "plain_keras.json").write_text(f"{{\n{lines}\n}}\n")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(json.dumps(some(sys.argv[2:])))
    else:
        main()
