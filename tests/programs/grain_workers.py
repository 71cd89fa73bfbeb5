"""A training over Grain's worker processes: prints each epoch begun, then the run's digest.

Keras is imported by the training alone: the workers import this program too.
"""

import sys

import grain
import numpy as np


class Rows:
    def __len__(self):
        return 48

    def __getitem__(self, index):
        return np.full(3, index / 48, "float32"), np.int32(index % 3)


def noisy(row, random):
    return row[0] + random.normal(size=3).astype("float32"), row[1]


def data(repeats=40):
    rows = grain.MapDataset.source(Rows()).seed(3).shuffle().repeat(repeats)
    batches = rows.random_map(noisy).batch(4).to_iter_dataset()
    return batches.mp_prefetch(grain.MultiprocessingOptions(num_workers=2))


def loader(repeats=40):
    return grain.DataLoader(
        data_source=Rows(),
        sampler=grain.samplers.IndexSampler(48, shuffle=True, seed=1, num_epochs=repeats),
        operations=[grain.transforms.Batch(4)],
        worker_count=2,
    )


def train(directory, epochs):
    import keras

    import holdfast

    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    told = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: print(epoch, flush=True)
    )
    run = holdfast.Run(directory)
    run.fit(
        model,
        data(),
        epochs=epochs,
        steps_per_epoch=12,
        callbacks=[told],
        verbose=0,
        every=holdfast.Every(steps=5),
    )
    print(run.digest(), flush=True)


if __name__ == "__main__":
    train(sys.argv[1], int(sys.argv[2]))
