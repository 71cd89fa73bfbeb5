"""`Model.fit` of Keras, on the backend of KERAS_BACKEND; the setting is `steps_per_execution`."""

from __future__ import annotations

import task
from keras_models import ClockCallback, build

given = task.read()
timed = ClockCallback()
model = build(given.program, int(given.setting))
history = model.fit(
    *given.train,
    batch_size=task.BATCH,
    epochs=task.EPOCHS,
    validation_data=given.validation,
    verbose=0,
    callbacks=[timed],
).history
last = {name: values[-1] for name, values in history.items()}
task.tell(timed.clock, last["loss"], last["accuracy"], last.get("val_accuracy"))
