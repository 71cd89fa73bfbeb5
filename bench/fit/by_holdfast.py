"""`Run.fit`, with everything as it is by default: checkpoints are on."""

from __future__ import annotations

import holdfast  # isort: skip  # chooses Keras's backend
import task
from keras_models import ClockCallback, build

given = task.read()
timed = ClockCallback()
model = build(given.program)
run = holdfast.Run(given.folder / "run")
history = run.fit(
    model,
    *given.train,
    batch_size=task.BATCH,
    epochs=task.EPOCHS,
    validation_data=given.validation,
    verbose=0,
    callbacks=[timed],
).history
last = {name: values[-1] for name, values in history.items()}
task.tell(timed.clock, last["loss"], last["accuracy"], last.get("val_accuracy"))
