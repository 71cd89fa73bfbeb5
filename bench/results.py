"""The results on disk: one JSON file a part, with the machine, the versions and the command."""

from __future__ import annotations

import json
import os
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import environments

FOLDER = Path(__file__).resolve().parent / "results"


@dataclass(frozen=True)
class Result:
    """What a part found.

    Args:
        part: its name.
        command: what measures it again.
        date: the day.
        seconds: how long the part took.
        machine: what it ran on.
        versions: of each environment it used.
        found: its figures; their form is the part's own.
    """

    part: str
    command: str
    date: str
    seconds: float
    machine: dict[str, Any]
    versions: dict[str, dict[str, str]]
    found: dict[str, Any]


def write(part: str, used: tuple[str, ...], seconds: float, found: dict[str, Any]) -> Path:
    """Write what a part found, and on what; returns the file."""
    result = Result(
        part=part,
        command=f"make bench ONLY={part}",
        date=time.strftime("%Y-%m-%d"),
        seconds=round(seconds, 1),
        machine=machine(),
        versions={name: environments.versions(name) for name in used},
        found=found,
    )
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{part}.json"
    path.write_text(json.dumps(asdict(result), indent=1) + "\n", encoding="utf-8")
    return path


def read(part: str) -> Result | None:
    """Return what a part found last, or None."""
    path = FOLDER / f"{part}.json"
    return Result(**json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def machine() -> dict[str, Any]:
    """Return what this machine is, without its name."""
    return {
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "accelerator": "none",
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
