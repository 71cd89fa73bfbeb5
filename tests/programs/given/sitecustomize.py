"""Gives a program the file GIVEN_MNIST in place of what `keras.datasets.mnist` would download.

Python imports it when it starts, where its directory is in PYTHONPATH.
"""

import importlib.abc
import importlib.util
import os
import sys


class GivenMnist(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        return (
            importlib.util.spec_from_loader(name, self) if name == "keras.datasets.mnist" else None
        )

    def exec_module(self, module):
        module.load_data = load_data


def load_data(path="mnist.npz"):
    import numpy as np

    with np.load(os.environ["GIVEN_MNIST"]) as file:
        return (file["x_train"], file["y_train"]), (file["x_test"], file["y_test"])


if "GIVEN_MNIST" in os.environ:
    sys.meta_path.insert(0, GivenMnist())
