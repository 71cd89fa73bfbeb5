"""What a contender does for a checkpoint, as the kernel was asked for it: which files are synced.

Owns running a program once under strace, where there is one, and reading the trace between the
marks of the stopwatch. What it finds is a fact of this run, not of what is written about it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import environments
import racing
from racing import Contender

_SYNCS = "fsync,fdatasync,sync_file_range,msync,sync,syncfs"
_NAMES = "rename,renameat,renameat2"
_MARKS = "access,faccessat,faccessat2"
_CALL = re.compile(r"^\d+ +(\w+)\((.*)$")
_OPEN = re.compile(r"^\d+<(.*?)>")
_NAMED = re.compile(r'"([^"]*)"')


def traced(contender: Contender, folder: Path) -> dict[str, int] | None:
    """Return what the last checkpoint of a program did, or None where nothing can be traced.

    Args:
        contender: prints by its stopwatch where a checkpoint begins and ends.
        folder: is the contender's; what lies elsewhere does not count.

    Returns `files` and `folders`, how many of each were synced, and `renamed`, how often one got
    its name only when it was written.
    """
    strace = shutil.which("strace")
    if strace is None:
        return None
    trace = folder / "trace.txt"
    calls = ",".join((_SYNCS, _NAMES, _MARKS))
    command = [strace, "-f", "-y", "-s", "500", "-e", f"trace={calls}", "-o", str(trace)]
    command += [environments.python(contender.environment), str(contender.program)]
    done = subprocess.run(
        [*command, *contender.arguments],
        env=racing.environment_of(contender),
        capture_output=True,
        timeout=300,
        check=False,
    )
    if done.returncode or not trace.is_file():
        return None
    lines = trace.read_text(encoding="utf-8", errors="replace").splitlines()
    trace.unlink()
    return read(lines, str(folder))


def read(lines: list[str], folder: str) -> dict[str, int] | None:
    """Return what lies between the last two marks of a trace."""
    begins = [number for number, line in enumerate(lines) if "/checkpoint-begins" in line]
    ends = [number for number, line in enumerate(lines) if "/checkpoint-ends" in line]
    if not begins or not ends:
        return None
    synced: set[str] = set()
    named: set[str] = set()
    renamed = 0
    for line in lines[begins[-1] : ends[-1]]:
        found = _CALL.match(line)
        if not found:
            continue
        name, rest = found.groups()
        if name in _NAMES.split(","):
            paths = [path for path in _NAMED.findall(rest) if path.startswith(folder)]
            renamed += bool(paths)
            named.update(paths)
        elif name in _SYNCS.split(","):
            synced.update(path for path in _OPEN.findall(rest) if path.startswith(folder))
    # A folder is what something else lies in.
    parents = {str(Path(path).parent) for path in synced | named}
    folders = len(synced & parents)
    return {"files": len(synced) - folders, "folders": folders, "renamed": renamed}
