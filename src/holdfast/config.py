"""The environment: every HOLDFAST_* variable, and the choice of Keras's backend.

Owns reading and checking of environment variables, in this one place. Leaves what
they mean to the modules that ask.

| variable | meaning |
| --- | --- |
| HOLDFAST_CACHE | directory for compiled programs; `none` keeps none; default: the user's |
| HOLDFAST_DEVICE_DATA | most bytes of training data held on the device; default: a quarter |
| HOLDFAST_TOKEN | what `holdfast serve` asks of requests, as `Authorization: Bearer TOKEN` |
| HOLDFAST_DISK | what a test does to the disk (`store/faults.py`); of no use to anyone else |
"""

from __future__ import annotations

import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from holdfast.errors import PlanError

# What Keras itself writes to keras.json at its first import, whatever backend is in
# use: a file with exactly this says that nobody chose.
_UNCHOSEN = {
    "floatx": "float32",
    "epsilon": 1e-07,
    "backend": "tensorflow",
    "image_data_format": "channels_last",
}


def cache_directory() -> Path | None:
    """Return the directory for what is kept between runs, or None for nothing."""
    chosen = os.environ.get("HOLDFAST_CACHE")
    if chosen:
        return None if chosen == "none" else Path(chosen)
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif os.name == "nt":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "holdfast"


def device_data_limit() -> int | None:
    """Return the most bytes of training data to hold on the device, or None for the default."""
    text = os.environ.get("HOLDFAST_DEVICE_DATA")
    if not text:
        return None
    if not text.isdecimal():
        raise PlanError(f"HOLDFAST_DEVICE_DATA must be a number of bytes, found {text!r}")
    return int(text)


def token() -> str | None:
    """Return what requests to a server must bring, or None."""
    text = os.environ.get("HOLDFAST_TOKEN", "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isprintable()):
        raise PlanError("HOLDFAST_TOKEN must be letters and signs of ASCII, as HTTP's headers take")
    return text


def disk_faults() -> dict[str, Any] | None:
    """Return what a test does to the disk, or None."""
    text = os.environ.get("HOLDFAST_DISK")
    if not text:
        return None
    try:
        asked = json.loads(text)
        if not isinstance(asked, dict):
            raise ValueError("expected an object")
    except ValueError as error:
        raise PlanError(f"HOLDFAST_DISK must be a JSON object: {error}") from error
    return asked


def choose_backend() -> None:
    """Make JAX the backend of a Keras not yet imported, unless somebody chose another."""
    if "keras" in sys.modules or os.environ.get("KERAS_BACKEND") or find_spec("jax") is None:
        return
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    try:
        chosen = json.loads((home / "keras.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        chosen = _UNCHOSEN
    if chosen == _UNCHOSEN:
        os.environ["KERAS_BACKEND"] = "jax"
