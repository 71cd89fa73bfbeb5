"""Which machine this is, and whether a file system belongs to it alone.

Owns what the system is asked, and the table of file systems. Leaves what follows to `lock`.
"""

from __future__ import annotations

import sys
import uuid
from pathlib import Path

BOOT = Path("/proc/sys/kernel/random/boot_id")
MOUNTS = Path("/proc/self/mountinfo")
_OPEN_FILES = Path("/proc/self/fdinfo")

# Those that one machine mounts at a time, by the names that mountinfo has for them. Any other may
# be shared: nfs, cifs, lustre, gpfs, ceph, 9p, virtiofs, whatever is behind fuse, and all new ones.
_OF_ONE_MACHINE = frozenset(
    b"ext2 ext3 ext4 xfs btrfs zfs f2fs bcachefs jfs reiserfs nilfs2 apfs hfs hfsplus "
    b"vfat exfat ntfs ntfs3 fuseblk tmpfs ramfs devtmpfs rootfs overlay".split()
)
_RANDOM_NODE = 1 << 40
_LOCAL_NODE = 1 << 41


def this_machine() -> str:
    """Return a text that no other machine has, or an empty one where the system has none.

    On Linux that is the kernel's id of this boot: all containers of a machine have the same, and
    after a reboot, when no process of before lives, it is another. Elsewhere it is the hardware
    address, which a change of network does not change as it does the host's name.
    """
    try:
        return BOOT.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        pass
    if sys.platform != "linux":  # there a container's address is made of its network's
        node = uuid.getnode()
        return "" if node & (_RANDOM_NODE | _LOCAL_NODE) else f"{node:012x}"
    return ""


def is_of_one_machine(handle: int) -> bool:
    """Whether an open file lies where no other machine can write meanwhile.

    False where that cannot be known: without Linux's /proc, or on a file system that is not in
    the table.
    """
    try:
        facts = (_OPEN_FILES / str(handle)).read_bytes()
        mounts = MOUNTS.read_bytes()
    except OSError:
        return False
    # By the number of the mount and not by its path: one mount may hide another.
    wanted = [line.split()[1:] for line in facts.splitlines() if line.startswith(b"mnt_id:")]
    for line in mounts.splitlines():
        place, _, kind = line.partition(b" - ")
        if place.split()[:1] in wanted:
            return kind.split()[:1] != [] and kind.split()[0] in _OF_ONE_MACHINE
    return False
