"""Lightning: `ckpt_path="last"`, with a `ModelCheckpoint` each so many steps, one for the best.

Its documentation says to make several `ModelCheckpoint`s for several moments, and to link the last
on a local disk. Nothing is done that slows it: no bar, no summary, no trial of the validation.
"""

import csv
import logging
import time
import warnings
from pathlib import Path

import lightning
import telling
import torch
import torch_parts
import training
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger

IMPORTED = time.monotonic()


class Classifier(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layers = torch_parts.layers()

    def training_step(self, batch, batch_idx):
        x, y = batch
        return torch.nn.functional.cross_entropy(self.layers(x), y)

    def validation_step(self, batch, batch_idx):
        x, y = batch
        self.log("val_loss", torch.nn.functional.cross_entropy(self.layers(x), y))

    def configure_optimizers(self):
        adam, schedule = torch_parts.optimizer(self)
        return {"optimizer": adam, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Tell(lightning.Callback):
    def __init__(self, teller: telling.Teller) -> None:
        self._teller = teller

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self._teller.step(trainer.current_epoch * training.STEPS + batch_idx + 1)

    def on_validation_epoch_end(self, trainer, pl_module):
        self._teller.epoch(trainer.current_epoch, float(trainer.callback_metrics["val_loss"]))


def main() -> None:
    asked = training.asked()
    teller = telling.Teller(asked.folder)
    teller.imported(IMPORTED)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    lightning.seed_everything(asked.seed, verbose=False)
    train, validation = torch_parts.loaders(asked.data, asked.seed)
    best = ModelCheckpoint(asked.folder / "best", monitor="val_loss")
    last = ModelCheckpoint(asked.folder / "last", every_n_train_steps=asked.every, save_last="link")
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=training.EPOCHS,
        deterministic=True,
        callbacks=[Tell(teller), best, last],
        logger=CSVLogger(asked.folder, flush_logs_every_n_steps=1),
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    model = Classifier()
    trainer.fit(model, train, validation, ckpt_path="last")
    state = list(torch_parts.state(model.layers, trainer.optimizers[0]))
    loss = None
    # After a kill it may name a file that was deleted for a better one.
    if Path(best.best_model_path).is_file():
        kept = torch.load(best.best_model_path, weights_only=True)["state_dict"]
        model.load_state_dict(kept)
        loss = torch_parts.judged(model.layers, validation)
    teller.end(state, loss, None, logged(asked.folder))


def logged(folder: Path) -> list[int]:
    """Return the epochs in the logs: each start of the program has one of its own."""
    epochs = []
    for path in sorted(folder.glob("lightning_logs/*/metrics.csv")):
        with path.open(newline="") as file:
            epochs += [int(row["epoch"]) for row in csv.DictReader(file) if row.get("val_loss")]
    return epochs


if __name__ == "__main__":
    main()
