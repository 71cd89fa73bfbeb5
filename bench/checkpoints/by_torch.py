"""Checkpoints of a PyTorch loop by hand: python by_torch.py KIND FOLDER CHECKPOINTS SIZE …

KIND is `dcp` (torch.distributed.checkpoint.async_save, one process, a background thread, a stager
that keeps its buffers, a folder a step as its documentation has it; the folder before is removed
when the new one is done) or `safetensors` (save_file, to the same name). Prints by size what the
stopwatch found.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stopwatch import ARRAYS, Stopwatch, asked, samples, tell, width

UNSEEN = 2
"""The first ones import, take memory and start threads."""


def main() -> None:
    kind, folder, most, sizes = asked()
    warnings.filterwarnings("ignore", module="torch")
    tell({size: measure(kind, size, folder, most) for size in sizes})


def measure(kind: str, size: int, folder: Path, most: int) -> dict[str, Any]:
    import torch

    folder = folder / str(size)
    folder.mkdir()
    kept = folder / kind
    kept.mkdir()
    watch = Stopwatch(folder, kept, UNSEEN, most)
    model = build(size)
    x, y = (torch.from_numpy(array) for array in samples(size))
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    saver = Distributed(kept) if kind == "dcp" else OneFile(kept)
    for step in range(UNSEEN + most):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(model(x), y).backward()
        optimizer.step()
        state = model.state_dict()
        watch.checkpoint(
            [value.numpy() for value in state.values()],
            saver.saving(state, step),
            saver.wait,
        )
    watch.restores(lambda: saver.load(state))
    saver.close()
    shutil.rmtree(folder)
    return watch.found()


def build(size: int) -> Any:
    """Return a model whose weights are the state; plain SGD has none of its own."""
    import torch

    torch.manual_seed(1)
    sides = width(size)
    layers = [torch.nn.Linear(sides, sides, bias=False) for _ in range(ARRAYS[size])]
    for layer in layers:
        torch.nn.init.xavier_uniform_(layer.weight)
    return torch.nn.Sequential(*layers)


class Distributed:
    """Saves with PyTorch's distributed checkpoint, in the background."""

    def __init__(self, kept: Path) -> None:
        from torch.distributed.checkpoint.staging import DefaultStager, StagingOptions

        self._kept = kept
        # Pinned memory, streams and shared memory need an accelerator or another process.
        self._stager = DefaultStager(StagingOptions(False, False, False, False))
        self._future: Any = None

    def saving(self, state: dict[str, Any], step: int) -> Callable[[], None]:
        """Return what begins to save a state."""
        from torch.distributed import checkpoint

        def save() -> None:
            folder = self._kept / f"step{step:06d}"
            self._future = checkpoint.async_save(
                state, checkpoint_id=folder, async_stager=self._stager, no_dist=True
            )

        return save

    def wait(self) -> None:
        """Wait until it is done; only then is the one before removed."""
        self._future.result()
        for old in self.folders()[1:]:
            shutil.rmtree(old)

    def folders(self) -> list[Path]:
        """Return all checkpoints, the newest first."""
        return sorted(self._kept.iterdir(), reverse=True)

    def load(self, state: dict[str, Any], number: int = 0) -> dict[str, Any]:
        """Return the newest checkpoint, or the one so many before it."""
        import torch
        from torch.distributed import checkpoint

        found = {name: torch.empty_like(value) for name, value in state.items()}
        checkpoint.load(found, checkpoint_id=self.folders()[number], no_dist=True)
        return found

    def close(self) -> None:
        """Let the buffers go."""
        self._stager.close()


class OneFile:
    """Saves with safetensors, always to the same name."""

    def __init__(self, kept: Path) -> None:
        self._path = kept / "model.safetensors"

    def saving(self, state: dict[str, Any], step: int) -> Callable[[], None]:
        """Return what saves a state."""
        from safetensors.torch import save_file

        return lambda: save_file(state, self._path)

    def wait(self) -> None:
        """Return at once: saving was all."""

    def load(self, state: dict[str, Any]) -> dict[str, Any]:
        """Return what is saved, in memory."""
        from safetensors.torch import load_file

        # What it returns lies in the file until it is asked for.
        return {name: value.clone() for name, value in load_file(self._path).items()}

    def close(self) -> None:
        """Do nothing."""


if __name__ == "__main__":
    main()
