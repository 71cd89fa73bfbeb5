"""Trains from a DataLoader with workers that have more to send than a pipe holds: to be killed.

Prints the digest of the run at its end.
"""

import sys
import time

import holdfast

# ruff: isort: split
import keras
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset


class Items(Dataset):
    """Noise, slowly."""

    def __len__(self):
        return 40

    def __getitem__(self, index):
        time.sleep(0.001)
        return np.random.rand(5000).astype("float32"), index % 2


def collate(items):
    """Numpy arrays, which travel through the pipe whole."""
    return np.stack([x for x, _ in items]), np.array([y for _, y in items])


def main():
    """Train."""
    keras.utils.set_random_seed(3)
    torch.manual_seed(3)  # on JAX, Keras does not
    model = keras.Sequential([keras.layers.Dense(2)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    loader = DataLoader(Items(), 4, shuffle=True, num_workers=2, collate_fn=collate)
    run = holdfast.Run(sys.argv[1])
    run.fit(model, loader, epochs=12, verbose=0, every=holdfast.Every(steps=5))
    print(run.digest())


if __name__ == "__main__":
    main()
