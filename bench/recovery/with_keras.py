"""Keras: `BackupAndRestore`, each epoch or each so many steps, and `ModelCheckpoint` for the best.

`double_checkpoint` is what its documentation offers against a backup cut off in the middle, and
`CSVLogger(append=True)` is what it names for a training that goes on.
"""

import csv
import time

import keras
import keras_parts
import telling
import training

IMPORTED = time.monotonic()


def main() -> None:
    asked = training.asked()
    teller = telling.Teller(asked.folder)
    teller.imported(IMPORTED)
    x, y, xv, yv = training.load(asked.data)
    keras.utils.set_random_seed(asked.seed)
    model = keras_parts.model()
    best, log = asked.folder / "best.keras", asked.folder / "log.csv"
    history = model.fit(
        x,
        y,
        batch_size=training.BATCH,
        epochs=training.EPOCHS,
        verbose=0,
        validation_data=(xv, yv),
        validation_batch_size=training.JUDGED_AT_ONCE,
        callbacks=[
            keras_parts.telling(teller),
            keras.callbacks.ModelCheckpoint(str(best), monitor="val_loss", save_best_only=True),
            keras.callbacks.CSVLogger(str(log), append=True),
            keras.callbacks.BackupAndRestore(
                str(asked.folder / "backup"), asked.every or "epoch", double_checkpoint=True
            ),
        ],
    )
    with log.open(newline="") as file:
        logged = [int(row["epoch"]) for row in csv.DictReader(file)]
    teller.end(
        keras_parts.state(model),
        keras_parts.judged(keras.saving.load_model(best), xv, yv),
        history.epoch,
        logged,
    )


if __name__ == "__main__":
    main()
