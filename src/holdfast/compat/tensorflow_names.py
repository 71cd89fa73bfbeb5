"""Names of TensorFlow's own that have an honest answer without it: `tf.random.set_seed` and such.

Owns the table of them. Leaves the modules they are in, and the error about all others, to
`tensorflow`.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from holdfast.compat.imports import import_module
from holdfast.compat.old import Old
from holdfast.errors import UnsupportedError

SINCE = "Keras 3.0, which needs no TensorFlow"
"""Since when programs do without."""

SEED = Old(
    "tf.random.set_seed, tf.set_random_seed",
    SINCE,
    "keras.utils.set_random_seed",
    "decides what Keras draws; Keras draws from Python's random, which begins anew too, numpy's "
    "goes on",
)
ACTIVATIONS = Old(
    "tf.nn.relu, softmax, sigmoid, tanh and the like",
    SINCE,
    "keras.activations.relu and the like",
    "Keras's activations of these names",
)
DEVICES = Old(
    "tf.config.list_physical_devices, tf.test.is_gpu_available and the like",
    SINCE,
    "keras.distribution.list_devices",
    "answers with Keras's devices",
)
MEMORY = Old(
    "tf.config.experimental.set_memory_growth",
    SINCE,
    "XLA_PYTHON_CLIENT_PREALLOCATE=false in the environment, for JAX",
    "does nothing",
)
LOGGING = Old(
    "tf.get_logger, tf.logging, tf.compat.v1.logging",
    SINCE,
    'logging.getLogger("tensorflow")',
    "sets that logger's level, which nothing writes to without TensorFlow",
)
EAGER = Old(
    "tf.executing_eagerly, tf.enable_eager_execution",
    SINCE,
    "nothing",
    "answers that it is so",
)
SHORT = Old(
    "tf.losses, tf.metrics, tf.optimizers, tf.initializers",
    SINCE,
    "keras.losses, keras.metrics, keras.optimizers, keras.initializers",
    "Keras's modules of these names, as TensorFlow 2 had them",
)
LATEST = Old(
    "tf.train.latest_checkpoint",
    SINCE,
    "the path that was saved to",
    "reads the file named checkpoint, as TensorFlow does",
)
VERSION = Old(
    "tf.__version__",
    SINCE,
    "keras.__version__",
    "2.16.0+holdfast: the first release whose tf.keras is Keras 3",
)


class Device(NamedTuple):
    """What `tf.config.list_physical_devices` lists."""

    name: str
    device_type: str


def _set_seed(seed: int) -> None:
    import keras
    import numpy as np

    before = np.random.get_state()
    keras.utils.set_random_seed(int(seed))
    np.random.set_state(before)


def _activation(name: str) -> Callable[[], Any]:
    return lambda: getattr(import_module("keras.activations"), name)


def _devices(device_type: str | None = None) -> list[Device]:
    import keras

    if keras.backend.backend() != "jax":
        raise UnsupportedError(
            "tf.config.list_physical_devices: TensorFlow is not installed, and Keras on "
            f"{keras.backend.backend()} does not say which devices there are; ask "
            f"{keras.backend.backend()} itself"
        )
    found = [Device("/physical_device:CPU:0", "CPU")]
    # These are of one kind: those that Keras computes on.
    for name in keras.distribution.list_devices():
        kind, _, number = name.partition(":")
        if kind != "cpu":
            # JAX may name a GPU by its maker's library.
            kind = "TPU" if kind == "tpu" else "GPU"
            found.append(Device(f"/physical_device:{kind}:{number}", kind))
    return [device for device in found if device_type in (None, device.device_type)]


def _has_gpu(*_: Any, **__: Any) -> bool:
    return bool(_devices("GPU"))


def _gpu_name() -> str:
    return "/device:GPU:0" if _has_gpu() else ""


def _nothing(*_: Any, **__: Any) -> None:
    """Do nothing."""


def _latest_checkpoint(checkpoint_dir: str, latest_filename: str | None = None) -> str | None:
    """Return the newest checkpoint of a folder, or None where there is none."""
    folder = Path(checkpoint_dir)
    try:
        text = (folder / (latest_filename or "checkpoint")).read_text(encoding="utf-8")
    except OSError:
        return None
    found = re.search(r'^model_checkpoint_path: "(.*)"$', text, re.MULTILINE)
    if found is None:
        return None
    path = os.path.join(checkpoint_dir, re.sub(r"\\(.)", r"\1", found[1]))
    return path if os.path.exists(f"{path}.index") else None


def _set_verbosity(level: int) -> None:
    logging.getLogger("tensorflow").setLevel(level)


def _is(value: Any) -> Callable[[], Any]:
    return lambda: value


def _module(name: str) -> Callable[[], Any]:
    return lambda: import_module(name)


_ACTIVATIONS = (
    *("elu", "gelu", "leaky_relu", "log_softmax", "relu", "relu6", "selu", "sigmoid", "silu"),
    *("softmax", "softplus", "softsign", "swish", "tanh"),
)
VALUES: dict[str, tuple[Old, Callable[[], Any]]] = {
    "__version__": (VERSION, _is("2.16.0+holdfast")),
    "VERSION": (VERSION, _is("2.16.0+holdfast")),
    "version.VERSION": (VERSION, _is("2.16.0+holdfast")),
    "random.set_seed": (SEED, _is(_set_seed)),
    "random.set_random_seed": (SEED, _is(_set_seed)),
    "set_random_seed": (SEED, _is(_set_seed)),
    **{f"nn.{name}": (ACTIVATIONS, _activation(name)) for name in _ACTIVATIONS},
    **{
        name: (ACTIVATIONS, _activation(name.rpartition(".")[2]))
        for name in ("sigmoid", "tanh", "math.sigmoid", "math.tanh", "math.softplus")
    },
    "config.list_physical_devices": (DEVICES, _is(_devices)),
    "config.experimental.list_physical_devices": (DEVICES, _is(_devices)),
    **{
        name: (SHORT, _module(f"keras.{name}"))
        for name in ("losses", "metrics", "optimizers", "initializers")
    },
    "train.latest_checkpoint": (LATEST, _is(_latest_checkpoint)),
    "test.is_gpu_available": (DEVICES, _is(_has_gpu)),
    "test.gpu_device_name": (DEVICES, _is(_gpu_name)),
    "config.experimental.set_memory_growth": (MEMORY, _is(_nothing)),
    "get_logger": (LOGGING, _is(lambda: logging.getLogger("tensorflow"))),
    "logging.set_verbosity": (LOGGING, _is(_set_verbosity)),
    **{
        f"logging.{name}": (LOGGING, _is(getattr(logging, name)))
        for name in ("DEBUG", "INFO", "WARN", "ERROR", "FATAL")
    },
    "executing_eagerly": (EAGER, _is(lambda: True)),
    "enable_eager_execution": (EAGER, _is(_nothing)),
    "enable_v2_behavior": (EAGER, _is(_nothing)),
}
"""What stands in, by its name after `tf.`, `tf.compat.v1.` or `tf.compat.v2.`."""

SILENT = {VERSION, EAGER}
"""Rows that need no line: the program can stay as it is."""

ROWS = tuple(value for value in vars(sys.modules[__name__]).values() if isinstance(value, Old))
