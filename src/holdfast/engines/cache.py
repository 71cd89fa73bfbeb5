"""Compiled code between attempts: a resumed run does not compile again.

Owns where JAX's persistent compilation cache lies while an engine compiles. JAX writes an
entry in place, so a kill could leave a torn one that stays torn; therefore an attempt
compiles into a directory of its own, made of links to the entries there are, and each new
entry is published by a link, which appears whole or not at all.

The directory is the user's, never the run's: compiled code is code, and a run may come from
anywhere. It is named by what a compiled program depends on: JAX, device, processor.
"""

from __future__ import annotations

import contextlib
import os
import platform
import warnings
from collections.abc import Iterator
from pathlib import Path

import jax
from blake3 import blake3
from jax.experimental.compilation_cache import compilation_cache

from holdfast import config
from holdfast.store import files
from holdfast.errors import RunLockedError
from holdfast.store.lock import Lock

_SETTINGS = {
    "jax_persistent_cache_min_compile_time_secs": 0.0,
    "jax_persistent_cache_min_entry_size_bytes": -1,
}


class CompiledPrograms:
    """The compiled programs of earlier attempts, at hand while `compiling`.

    Where the user has set up a cache of JAX's own, that one is used and this does nothing.
    Where the directory cannot be written, programs are compiled each time.
    """

    def __init__(self) -> None:
        self._own: Path | None = None
        self._lock: Lock | None = None
        self._shared = config.cache_directory() / "programs" / _machine()
        if jax.config.jax_compilation_cache_dir is not None:
            return
        try:
            self._prepare()
        except OSError as error:
            warnings.warn(
                f"compiled programs are not kept: {error}. Set HOLDFAST_CACHE to a "
                "directory that can be written.",
                stacklevel=2,
            )

    @contextlib.contextmanager
    def compiling(self) -> Iterator[None]:
        """While this lasts, what JAX compiles is looked up, and kept, in the directory."""
        if self._own is None:
            yield
            return
        settings = {"jax_compilation_cache_dir": str(self._own), **_SETTINGS}
        before = {name: getattr(jax.config, name) for name in settings}
        _set(settings)
        try:
            yield
        finally:
            _set(before)
            self._publish()

    def close(self) -> None:
        """Remove what is this attempt's alone."""
        if self._own is not None:
            files.remove_tree(self._own)
            self._own = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _prepare(self) -> None:
        attempts = self._shared / "attempts"
        files.make_directory(attempts)
        for folder in list(attempts.iterdir()):
            with contextlib.suppress(RunLockedError, OSError):
                Lock(folder / "lock", patience=0).release()
                files.remove_tree(folder)
        own = attempts / f"{os.getpid()}-{os.urandom(4).hex()}"
        files.make_directory(own)
        self._lock = Lock(own / "lock")
        for entry in _entries(self._shared):
            with contextlib.suppress(FileExistsError, FileNotFoundError):
                os.link(entry, own / entry.name)
        self._own = own

    def _publish(self) -> None:
        assert self._own is not None
        for entry in _entries(self._own):
            with contextlib.suppress(OSError):
                files.publish(entry, self._shared / entry.name)


def _entries(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_file() and path.name.endswith("-cache")]


def _set(settings: dict[str, object]) -> None:
    for name, value in settings.items():
        jax.config.update(name, value)
    # JAX looks at its settings once, at its first compilation, which has been.
    compilation_cache.reset_cache()


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
