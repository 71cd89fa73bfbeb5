"""Lightning's ModelCheckpoint within `Trainer.fit`: python by_lightning.py KIND FOLDER N SIZE …

KIND is `plain`, or `async` (with the plugin AsyncCheckpointIO, which writes in a thread). One epoch
is one step, and each is saved; Lightning keeps the newest and removes the one before. Prints by
size what the stopwatch found.
"""

from __future__ import annotations

import logging
import shutil
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from by_torch import build
from stopwatch import BATCH, Stopwatch, asked, samples, tell

UNSEEN = 1


def main() -> None:
    kind, folder, most, sizes = asked()
    quiet()
    tell({size: measure(kind, size, folder, most) for size in sizes})


def measure(kind: str, size: int, folder: Path, most: int) -> dict[str, Any]:
    import torch
    from lightning.pytorch.callbacks import ModelCheckpoint

    folder = folder / str(size)
    folder.mkdir()
    kept = folder / "saved"
    watch = Stopwatch(folder, kept, UNSEEN, most)
    plugins, wait = writers(kind)

    class Timed(ModelCheckpoint):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            arrays = [value.numpy() for value in pl_module.state_dict().values()]
            saved = super().on_train_epoch_end
            watch.checkpoint(arrays, lambda: saved(trainer, pl_module), wait)

    data = torch.utils.data.TensorDataset(*(torch.from_numpy(one) for one in samples(size)))
    trainer(folder, most + UNSEEN, Timed(kept), plugins).fit(
        module(build(size)), torch.utils.data.DataLoader(data, batch_size=BATCH)
    )
    watch.restores(lambda: torch.load(next(kept.glob("*.ckpt")), weights_only=True))
    shutil.rmtree(folder)
    return watch.found()


def trainer(folder: Path, epochs: int, saver: Any, plugins: list[Any]) -> Any:
    """Return a trainer that does nothing but train and save."""
    import lightning

    return lightning.Trainer(
        accelerator="cpu",
        default_root_dir=folder,
        max_epochs=epochs,
        callbacks=[saver],
        plugins=plugins,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def module(model: Any, begun: Callable[[Any], None] = lambda model: None) -> Any:
    """Return a model as Lightning trains it; `begun` is called with it before each epoch."""
    import lightning
    import torch

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def on_train_epoch_start(self) -> None:
            begun(self.model)

        def training_step(self, batch: Any, number: int) -> Any:
            x, y = batch
            return torch.nn.functional.mse_loss(self.model(x), y)

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), 0.01)

    return Module()


def writers(kind: str) -> tuple[list[Any], Callable[[], None]]:
    """Return the plugins of a kind, and what waits until a checkpoint is written."""
    from lightning.pytorch.plugins.io import AsyncCheckpointIO, TorchCheckpointIO

    if kind == "plain":
        return [], lambda: None
    written = threading.Semaphore(0)

    class Telling(TorchCheckpointIO):
        def save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
            super().save_checkpoint(*args, **kwargs)
            written.release()

    return [AsyncCheckpointIO(Telling())], lambda: bool(written.acquire())


def quiet() -> None:
    """Keep tips and advice off the standard error."""
    warnings.filterwarnings("ignore")
    for name in ("lightning.pytorch", "lightning.fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)


if __name__ == "__main__":
    main()
