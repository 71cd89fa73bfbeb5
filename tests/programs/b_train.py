"""The training segment of 2017: the other program judges what this one saves."""

from keras.datasets import mnist
from keras.layers import Dense
from keras.models import Sequential
from keras.utils import np_utils

(X_train, Y_train), (X_test, Y_test) = mnist.load_data()
X_train = X_train.reshape(60000, 784).astype("float32") / 255.0
Y_train = np_utils.to_categorical(Y_train)

model = Sequential()
model.add(Dense(units=64, input_dim=28 * 28, activation="relu"))
model.add(Dense(units=10, activation="softmax"))
model.compile(loss="categorical_crossentropy", optimizer="sgd", metrics=["accuracy"])
hist = model.fit(X_train, Y_train, epochs=5, batch_size=32)

print("Loss by epoch:", hist.history["loss"])
model.save("mnist_mlp_model.h5")
