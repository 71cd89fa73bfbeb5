"""A program of 2023: save the best weights, load them again. It fixes no seed at all."""

import numpy as np
from tensorflow.keras.callbacks import ModelCheckpoint
from tensorflow.keras.layers import Dense
from tensorflow.keras.models import Sequential

x_train = np.random.random((800, 100))
y_train = (x_train[:, :50].sum(axis=1) > x_train[:, 50:].sum(axis=1)).astype("int")
x_val = np.random.random((200, 100))
y_val = (x_val[:, :50].sum(axis=1) > x_val[:, 50:].sum(axis=1)).astype("int")

checkpoint_path = "model_checkpoint.h5"
checkpoint_callback = ModelCheckpoint(
    filepath=checkpoint_path,
    save_best_only=True,
    save_weights_only=True,
    monitor="val_loss",
    mode="min",
    verbose=1,
)

model = Sequential()
model.add(Dense(64, activation="relu", input_dim=100))
model.add(Dense(64, activation="relu"))
model.add(Dense(1, activation="sigmoid"))
model.compile(loss="binary_crossentropy", optimizer="adam", metrics=["accuracy"])

history = model.fit(
    x_train,
    y_train,
    epochs=10,
    validation_data=(x_val, y_val),
    callbacks=[checkpoint_callback],
)
model.load_weights(checkpoint_path)

loss, accuracy = model.evaluate(x_val, y_val, verbose=0)
print("val_loss by epoch:", history.history["val_loss"])
print("val_accuracy by epoch:", history.history["val_accuracy"])
print("Best weights: loss", loss, "accuracy", accuracy)
print("First predictions:", model.predict(x_val[:3]).ravel().tolist())
