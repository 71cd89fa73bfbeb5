"""TensorFlow's checkpoint, a validation split, early stopping: the slips of the pen mended."""

import os

import tensorflow as tf
from sklearn.datasets import load_digits
from tensorflow.keras.callbacks import EarlyStopping, ModelCheckpoint
from tensorflow.keras.utils import to_categorical

tf.random.set_seed(42)
digits = load_digits()
x_data_train = digits.data[:1400] / 16.0
t_data_train = to_categorical(digits.target[:1400])
x_data_test = digits.data[1400:] / 16.0
t_data_test = to_categorical(digits.target[1400:])

model = tf.keras.models.Sequential(
    [
        tf.keras.layers.Dense(64, activation="relu", input_shape=(64,)),
        tf.keras.layers.Dropout(0.2),
        tf.keras.layers.Dense(10, activation="softmax"),
    ]
)
model.compile(
    optimizer=tf.keras.optimizers.Adam(learning_rate=0.01),
    loss="categorical_crossentropy",
    metrics=["accuracy"],
)

checkpoint_file = os.path.join(os.environ.get("CHECKPOINTS", "."), "tmp_checkpoint.ckpt")
modelcp = ModelCheckpoint(
    filepath=checkpoint_file,
    save_weights_only=True,
    save_best_only=True,
    monitor="val_loss",
    verbose=1,
)
es = EarlyStopping(monitor="val_loss", patience=3, restore_best_weights=True)

history = model.fit(
    x_data_train,
    t_data_train,
    epochs=200,
    verbose=1,
    batch_size=100,
    validation_split=0.3,
    callbacks=[modelcp, es],
)
print("Validation losses:", history.history["val_loss"])
print("Restored:", model.evaluate(x_data_test, t_data_test, verbose=0))
model.load_weights(checkpoint_file)
print("Loaded:", model.evaluate(x_data_test, t_data_test, verbose=0))
