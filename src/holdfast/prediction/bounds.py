"""The largest numbers that types hold.

Owns these bounds, for all that reads numbers from texts: there a number beyond its type's bound is
a mistake, and not infinity.
"""

from __future__ import annotations

import numpy as np

_BFLOAT16 = float.fromhex("0x1.fep127")


def largest(dtype: str) -> float:
    """Return the largest number that a type of floating point holds."""
    return _BFLOAT16 if dtype == "bfloat16" else float(np.finfo(dtype).max)
