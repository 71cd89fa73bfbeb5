"""Compiled code between attempts: a resumed run does not compile again.

Owns where JAX's persistent compilation cache lies. JAX writes an entry in place, so a kill
could leave a torn one that stays torn; therefore a process compiles into a directory of its
own, made of links to the entries there are, and each new entry is published by a link, which
appears whole or not at all.

The directory is the user's, never the run's: compiled code is code, and a run may come from
anywhere. It is named by what a compiled program depends on: JAX, device, processor.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import platform
import warnings
from pathlib import Path

import jax
from blake3 import blake3
from jax.experimental.compilation_cache import compilation_cache

from holdfast import config
from holdfast.errors import RunLockedError
from holdfast.store import files
from holdfast.store.lock import Lock

_MOST_BYTES = 1 << 30
_SETTINGS: dict[str, object] = {
    "jax_persistent_cache_min_compile_time_secs": 0.0,
    "jax_persistent_cache_min_entry_size_bytes": -1,
    # XLA's own caches would put this process's directory into the key of every entry.
    "jax_persistent_cache_enable_xla_caches": "none",
}


def activate() -> None:
    """From here on JAX looks up what it compiles, in this process, and keeps it.

    Where the user has set up a cache of JAX's own, that one is used and this does nothing.
    Where the directory cannot be written, a warning says so and nothing is kept.
    """
    shared = config.cache_directory()
    if shared is None or _Directory.active or jax.config.jax_compilation_cache_dir is not None:
        return
    try:
        _Directory.active = _Directory(shared / "programs" / _machine())
    except OSError as error:
        warnings.warn(
            f"compiled programs are not kept: {error}. Set HOLDFAST_CACHE to a directory that "
            "can be written, or to 'none'.",
            stacklevel=2,
        )
        return
    atexit.register(_Directory.active.close)
    for name, value in _SETTINGS.items():
        jax.config.update(name, value)
    jax.config.update("jax_compilation_cache_dir", str(_Directory.active.own))
    # JAX looks at its settings once, at its first compilation, which may have been.
    compilation_cache.reset_cache()


def publish() -> None:
    """Keep what was compiled so far for other processes."""
    if _Directory.active:
        _Directory.active.publish()


class _Directory:
    """This process's directory of compiled programs, with links to those of others."""

    active: _Directory | None = None

    def __init__(self, shared: Path) -> None:
        self._shared = shared
        self._published: set[str] = set()
        attempts = shared / "attempts"
        files.make_directory(attempts)
        _sweep(attempts)
        self.own = attempts / f"{os.getpid()}-{os.urandom(4).hex()}"
        files.make_directory(self.own)
        self._lock = Lock(self.own / "lock")
        for entry in _newest(shared):
            with contextlib.suppress(FileExistsError, FileNotFoundError):
                os.link(entry, self.own / entry.name)
                self._published.add(entry.name)

    def publish(self) -> None:
        for entry in _entries(self.own):
            if entry.name not in self._published:
                with contextlib.suppress(OSError):
                    files.publish(entry, self._shared / entry.name)
                    self._published.add(entry.name)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.publish()
        files.remove_tree(self.own)
        self._lock.release()


def _sweep(attempts: Path) -> None:
    """Remove the directories of processes that were killed."""
    for folder in list(attempts.iterdir()):
        with contextlib.suppress(RunLockedError, OSError):
            Lock(folder / "lock", patience=0).release()
            files.remove_tree(folder)


def _newest(shared: Path) -> list[Path]:
    """Return the entries there are, newest first, and remove the oldest above 1 GiB."""
    aged = []
    for entry in _entries(shared):
        with contextlib.suppress(FileNotFoundError):
            stat = entry.stat()
            aged.append((stat.st_mtime, stat.st_size, entry))
    kept, size = [], 0
    for _, length, entry in sorted(aged, reverse=True):
        size += length
        if size <= _MOST_BYTES:
            kept.append(entry)
        else:
            files.remove([entry])
    return kept


def _entries(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_file() and path.name.endswith("-cache")]


def _machine() -> str:
    """Return a name for all that compiled code depends on and JAX's own key may not say."""
    parts = [jax.__version__, jax.default_backend(), platform.machine()]
    parts += sorted({device.device_kind for device in jax.local_devices()})
    with contextlib.suppress(OSError):
        flags = [
            line
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            if line.startswith(("flags", "Features", "model name"))
        ]
        parts += sorted(set(flags))
    return blake3("\n".join(parts).encode()).hexdigest()[:16]
