"""Slips of the pen, one after the other; what each is told stands in slips.json."""

import json
import os

import numpy as np
from tensorflow.keras.callbacks import EarlyStopping, ModelCheckpoint
from tensorflow.keras.layers import Dense
from tensorflow.keras.models import Sequential

x_data_train = np.random.random((200, 8))
t_data_train = (x_data_train.sum(axis=1) > 4).astype("float32")


def build_model(units=16):
    model = Sequential()
    model.add(Dense(units, activation="relu", input_shape=(8,)))
    model.add(Dense(1, activation="sigmoid"))
    return model


def compiled_model():
    model = build_model()
    model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
    return model


def module():
    from tensorflow.keras.callback import EarlyStopping  # noqa: F401


def name():
    from tensorflow.keras.callbacks import EarlyStoping  # noqa: F401


def argument():
    EarlyStopping(monitor="val_loss", patience=3, restor_best_weights=True)


def path():
    model = compiled_model()
    modelcp = ModelCheckpoint(
        filepath=os.path.join(os.environ["CHECKPOINTS"], "tmp_checkpoint.ckpt"),
        save_weights_only=True,
        save_best_only=True,
        monitor="val_loss",
        verbose=1,
    )
    model.fit(
        x_data_train,
        t_data_train,
        epochs=2,
        verbose=1,
        batch_size=100,
        validation_split=0.3,
        callbacks=[modelcp],
    )
    model.load_weights("tmp_checkpoint.ckpt")


def architecture():
    compiled_model().save_weights("narrow.h5")
    build_model(units=32).load_weights("narrow.h5")


def evaluate():
    build_model().evaluate(x_data_train, t_data_train)


def monitor():
    es = EarlyStopping(monitor="val_loss", patience=3)
    compiled_model().fit(x_data_train, t_data_train, epochs=5, callbacks=[es])


told = {}
for slip in (module, name, argument, path, architecture, evaluate, monitor):
    try:
        slip()
    except Exception as error:
        told[slip.__name__] = [type(error).__name__, str(error)]
with open("slips.json", "w") as file:
    json.dump(told, file, indent=2)
