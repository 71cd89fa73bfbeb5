"""The whole lesson of 2024: curves, validation, dropout, saving, checkpoints, early stopping."""

import matplotlib as mpl
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from tensorflow import keras

mpl.use("Agg")
import matplotlib.pyplot as plt

images, target = load_digits(return_X_y=True)
train_input = images.reshape(-1, 8, 8) / 16.0
train_scaled, val_scaled, train_target, val_target = train_test_split(
    train_input, target, test_size=0.2, random_state=42
)


def model_fn(a_layer=None):
    model = keras.Sequential()
    model.add(keras.layers.Flatten(input_shape=(8, 8)))
    model.add(keras.layers.Dense(100, activation="relu"))
    if a_layer:
        model.add(a_layer)
    model.add(keras.layers.Dense(10, activation="softmax"))
    return model


def plot_curves(history, names, file):
    plt.figure()
    for name in names:
        plt.plot(history.history[name])
    plt.xlabel("epoch")
    plt.legend(names)
    plt.savefig(file)
    plt.close()


# 1. Five epochs, and their curves.
model = model_fn()
model.summary()
model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
history = model.fit(train_scaled, train_target, epochs=5, verbose=0)
print("1. keys:", history.history.keys())
print("1. history:", history.history)
plot_curves(history, ["loss"], "loss-5.png")
plot_curves(history, ["accuracy"], "accuracy-5.png")

# 2. The loss goes on falling.
model = model_fn()
model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
history = model.fit(train_scaled, train_target, epochs=20, verbose=0)
print("2. losses:", history.history["loss"])
plot_curves(history, ["loss"], "loss-20.png")

# 3. The validation loss joins; RMSprop overfits.
model = model_fn()
model.compile(
    optimizer=keras.optimizers.RMSprop(learning_rate=0.001),
    loss="sparse_categorical_crossentropy",
    metrics=["accuracy"],
)
history = model.fit(
    train_scaled, train_target, epochs=20, verbose=0, validation_data=(val_scaled, val_target)
)
print("3. keys:", history.history.keys())
print("3. validation losses:", history.history["val_loss"])
plot_curves(history, ["loss", "val_loss"], "rmsprop.png")

# 4. Adam overfits later; Adam with dropout less.
for name, a_layer in [("adam", None), ("dropout", keras.layers.Dropout(0.3))]:
    model = model_fn(a_layer)
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(
        train_scaled,
        train_target,
        epochs=20,
        verbose=0,
        validation_data=(val_scaled, val_target),
    )
    print(f"4. {name}, validation losses:", history.history["val_loss"])
    plot_curves(history, ["loss", "val_loss"], f"{name}.png")

# 5. Ten epochs, saved in both ways and loaded again.
model = model_fn(keras.layers.Dropout(0.3))
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
history = model.fit(
    train_scaled, train_target, epochs=10, verbose=0, validation_data=(val_scaled, val_target)
)
model.save_weights("model.weights.h5")
model.save("model-whole.keras")

model = model_fn(keras.layers.Dropout(0.3))
try:
    model.evaluate(val_scaled, val_target)
except Exception as error:
    print("5. evaluate before compile:", type(error).__name__)
model.load_weights("model.weights.h5")
val_labels = np.argmax(model.predict(val_scaled), axis=-1)
print("5. accuracy by hand:", np.mean(val_labels == val_target))
try:
    keras.Sequential([keras.layers.Dense(10, input_shape=(64,))]).load_weights("model.weights.h5")
except Exception as error:
    print("5. weights of another architecture:", type(error).__name__)
model = keras.models.load_model("model-whole.keras")
print("5. the whole model:", model.evaluate(val_scaled, val_target))

# 6. The best model in a file, and early stopping.
model = model_fn(keras.layers.Dropout(0.3))
model.compile(
    optimizer=keras.optimizers.Adam(learning_rate=0.01),
    loss="sparse_categorical_crossentropy",
    metrics=["accuracy"],
)
checkpoint_cb = keras.callbacks.ModelCheckpoint("best-model.keras", save_best_only=True)
early_stopping_cb = keras.callbacks.EarlyStopping(patience=2, restore_best_weights=True)
history = model.fit(
    train_scaled,
    train_target,
    epochs=20,
    verbose=0,
    validation_data=(val_scaled, val_target),
    callbacks=[checkpoint_cb, early_stopping_cb],
)
print("6. stopped epoch:", early_stopping_cb.stopped_epoch)
plot_curves(history, ["loss", "val_loss"], "early-stopping.png")
print("6. the best epoch's score:", model.evaluate(val_scaled, val_target))
model = keras.models.load_model("best-model.keras")
print("6. the same from its file:", model.evaluate(val_scaled, val_target))
