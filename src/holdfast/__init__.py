"""Holdfast: Keras trainings that cannot be lost. The public names, nothing else.

Importing this imports neither Keras nor a backend. Where nobody has chosen Keras's backend
(no KERAS_BACKEND, no keras.json but the one Keras writes itself) it chooses JAX, so import it
before keras.
"""

from holdfast import errors
from holdfast.api import fit
from holdfast.config import choose_backend as _choose_backend
from holdfast.run import Run
from holdfast.store.retention import Keep
from holdfast.training.cadence import Every

__all__ = ["Every", "Keep", "Run", "errors", "fit"]

_choose_backend()
