"""CRC-32C, and the masked form in which LevelDB and TensorFlow store it.

Owns the checksum of buffers of any size. Leaves the arithmetic to google-crc32c.
"""

from __future__ import annotations

import google_crc32c
import numpy as np

from holdfast.formats.wire import Buffer

_PIECE = 1 << 30
_MASK = 0xA282EAD8


def crc32c(data: Buffer, crc: int = 0) -> int:
    """Return the CRC-32C of what had `crc` and then `data`."""
    # The library takes no memoryview and no memory map, but arrays over them.
    whole = np.frombuffer(data, np.uint8)
    for start in range(0, whole.size, _PIECE):
        crc = google_crc32c.extend(crc, whole[start : start + _PIECE])
    return crc


def mask(crc: int) -> int:
    """Return `crc` as it is stored: a checksum over data that holds checksums is a weak one."""
    return ((crc >> 15 | crc << 17) + _MASK) & 0xFFFFFFFF
