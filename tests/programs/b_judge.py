"""The judging segment of 2017: opens what the training segment saved."""

from keras.datasets import mnist
from keras.models import load_model
from keras.utils import np_utils

(X_train, Y_train), (X_test, Y_test) = mnist.load_data()
X_test = X_test.reshape(10000, 784).astype("float32") / 255.0
Y_test = np_utils.to_categorical(Y_test)

model = load_model("mnist_mlp_model.h5")
model.summary()
print("loss_and_metrics:", model.evaluate(X_test, Y_test, batch_size=32))
