"""A program of 2023: the best model in a file, and early stopping."""

import numpy as np
from keras.callbacks import CSVLogger, EarlyStopping, ModelCheckpoint
from keras.layers import Dense
from keras.models import Sequential, load_model
from sklearn.datasets import make_classification
from sklearn.model_selection import train_test_split

np.random.seed(7)
X, y = make_classification(n_samples=1000, n_features=100, n_informative=10)
X_train, X_valid, y_train, y_valid = train_test_split(X, y, test_size=0.3)

checkpoint = ModelCheckpoint(
    "weights.best.hdf5", monitor="val_loss", verbose=1, save_best_only=True, mode="min"
)
early_stopping = EarlyStopping(monitor="val_loss", patience=3, verbose=1)
log = CSVLogger("training.csv")

model = Sequential()
model.add(Dense(64, activation="relu", input_dim=100))
model.add(Dense(1, activation="sigmoid"))
model.compile(loss="binary_crossentropy", optimizer="adam", metrics=["accuracy"])
hist = model.fit(
    X_train,
    y_train,
    validation_data=(X_valid, y_valid),
    epochs=30,
    callbacks=[checkpoint, early_stopping, log],
)

print("Epochs trained:", len(hist.history["loss"]), "stopped at", early_stopping.stopped_epoch)
print("History:", hist.history)
best = load_model("weights.best.hdf5")
print("Best model:", best.evaluate(X_valid, y_valid, verbose=0))
print("Last model:", model.evaluate(X_valid, y_valid, verbose=0))
