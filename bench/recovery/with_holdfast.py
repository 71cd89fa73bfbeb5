"""Holdfast: `Run.fit`, with nothing chosen, or with a checkpoint each so many steps."""

import time

import keras
import keras_parts
import telling
import training

import holdfast

IMPORTED = time.monotonic()


def main() -> None:
    asked = training.asked()
    teller = telling.Teller(asked.folder)
    teller.imported(IMPORTED)
    x, y, xv, yv = training.load(asked.data)
    run = holdfast.Run(asked.folder / "run")
    keras.utils.set_random_seed(asked.seed)
    model = keras_parts.model()
    history = run.fit(
        model,
        x,
        y,
        batch_size=training.BATCH,
        epochs=training.EPOCHS,
        verbose=0,
        validation_data=(xv, yv),
        validation_batch_size=training.JUDGED_AT_ONCE,
        callbacks=[keras_parts.telling(teller)],
        every=holdfast.Every(steps=asked.every) if asked.every else None,
    )
    teller.end(
        keras_parts.state(model),
        keras_parts.judged(run.load_model("best"), xv, yv),
        history.epoch,
        [int(done) - 1 for done, _ in run.history.series["val_loss"]],
    )


if __name__ == "__main__":
    main()
