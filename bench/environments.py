"""The Pythons that the contenders run in: Holdfast's own, and one for each family of peers.

Owns what is installed where. An environment is made once, beside this file, and anew when what it
should hold changes. Keras, JAX and numpy are the versions that Holdfast's own has: what differs
between contenders is who trains, not what they stand on. Leaves running them to `racing`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

OURS = "jax"
"""Where Holdfast is measured: what else is installed beside Keras makes its import slower."""

EXTRAS = "holdfast"
"""The Python that runs this: Holdfast with all that it reads formats with."""

FOLDER = Path(__file__).resolve().parent / ".environments"
ROOT = Path(__file__).resolve().parent.parent


def requirements() -> dict[str, list[list[str]]]:
    """Return what each environment holds; each list is one call of pip, in this order."""
    same = [f"{name}=={version(name)}" for name in ("keras", "numpy")]
    jax = f"jax=={version('jax')}"
    return {
        OURS: [
            [*same, jax, "flax", "optax", "orbax-checkpoint"],
            ["--editable", f"{ROOT}[jax]"],
        ],
        # The build for processors, before anything that would ask for another.
        "torch": [["torch==2.13.0"], [*same, "lightning", "accelerate", "safetensors"]],
        "tensorflow": [
            [*same, jax, "tensorflow-cpu"],
            ["--editable", f"{ROOT}[jax,onnx,litert]"],
        ],
        "tensorflow-2.15": [["tensorflow-cpu==2.15.1"]],
    }


def make(names: Iterable[str]) -> None:
    """Make those environments that are not there yet, two at a time: pip uses one core.

    Raises:
        subprocess.CalledProcessError: see `python`.
    """
    with ThreadPoolExecutor(2) as lanes:
        list(lanes.map(python, names))


def python(name: str) -> str:
    """Return the Python of an environment; makes it where it is not there yet.

    Raises:
        subprocess.CalledProcessError: pip could not install what it holds.
    """
    if name == EXTRAS:
        return sys.executable
    found = FOLDER / name / "bin" / "python"
    asked = requirements()[name]
    made = FOLDER / name / "made.json"
    if made.is_file() and json.loads(made.read_text()) == asked:
        return str(found)
    print(f"making {found.parent.parent.relative_to(ROOT)} …", file=sys.stderr, flush=True)
    shutil.rmtree(FOLDER / name, ignore_errors=True)
    made.parent.mkdir(parents=True)
    base = os.environ.get("LEGACY_PYTHON") if name == "tensorflow-2.15" else None
    if base:
        subprocess.run([base, "-m", "venv", str(FOLDER / name)], check=True)
    else:
        venv.create(FOLDER / name, with_pip=True)
    for packages in asked:
        command = [str(found), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*command, *packages], check=True)
    made.write_text(json.dumps(asked))
    return str(found)


def versions(name: str) -> dict[str, str]:
    """Return the versions of what was measured in an environment."""
    code = (
        "import json, platform; from importlib.metadata import distributions;"
        "print(json.dumps({'python': platform.python_version()}"
        "| {d.name.lower().replace('_', '-'): d.version for d in distributions()}))"
    )
    output = subprocess.run(
        [python(name), "-c", code], check=True, capture_output=True, text=True
    ).stdout
    return {key: value for key, value in json.loads(output).items() if key in _NAMED}


_NAMED = {
    "python",
    "holdfast",
    "keras",
    "jax",
    "jaxlib",
    "numpy",
    "tensorflow-cpu",
    "torch",
    "lightning",
    "accelerate",
    "flax",
    "optax",
    "orbax-checkpoint",
    "safetensors",
    "onnxruntime",
    "ai-edge-litert",
}
