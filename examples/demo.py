"""Train a network, kill it again and again, and see that nothing was lost.

    python examples/demo.py [--kills N] [--epochs N] [--seed N]

Trains a convolutional network on scikit-learn's handwritten digits in a child process, kills
that child with SIGKILL at random moments, starts it again each time, and trains the same
network once more without interruption. Both must end with the same bits; exit status 1 if not.
"""

import argparse
import mmap
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import holdfast

TRAINED_ON = 1400
BATCH = 16
STEPS = -(-TRAINED_ON // BATCH)


def train(folder: Path, epochs: int, callbacks: tuple = ()) -> None:
    """The program that is killed: an ordinary training, but for `Run(...).fit`."""
    import keras
    from keras import layers

    run = holdfast.Run(folder / "run")
    x, y = digits()
    keras.utils.set_random_seed(2026)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(16, 3, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.Activation("relu"),
            layers.Conv2D(32, 3, strides=2, padding="same", activation="relu"),
            layers.Flatten(),
            layers.Dropout(0.4),
            layers.Dense(64, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])

    class Tell(keras.callbacks.Callback):
        """Writes the number of steps done where the parent sees it, whatever happens to us."""

        def __init__(self) -> None:
            super().__init__()
            self._epoch = 0

        def on_epoch_begin(self, epoch, logs=None):
            self._epoch = epoch

        def on_train_batch_end(self, batch, logs=None):
            told[:8] = (self._epoch * STEPS + batch + 1).to_bytes(8, "little")

    with (folder / "told").open("r+b") as file:
        told = mmap.mmap(file.fileno(), 8)
        run.fit(
            model,
            x[:TRAINED_ON],
            y[:TRAINED_ON],
            batch_size=BATCH,
            epochs=epochs,
            verbose=0,
            validation_data=(x[TRAINED_ON:], y[TRAINED_ON:]),
            callbacks=[Tell(), *callbacks],
            every=holdfast.Every(seconds=0.5),
        )


def digits():
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return (x / 16).astype("float32").reshape(-1, 8, 8, 1), y


def start(folder: Path, epochs: int) -> subprocess.Popen:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "told").write_bytes(bytes(8))
    command = [sys.executable, __file__, "--train", str(folder), "--epochs", str(epochs)]
    return subprocess.Popen(command)


def told(folder: Path) -> int:
    return int.from_bytes((folder / "told").read_bytes(), "little")


def kill_at(folder: Path, epochs: int, moment: int) -> tuple[int, bool]:
    """Start the training, SIGKILL it once it has done `moment` steps.

    Returns how many steps it had done, and whether it was killed before its end.
    """
    child = start(folder, epochs)
    while told(folder) < moment and child.poll() is None:
        time.sleep(0.001)
    time.sleep(random.random() * 0.01)
    child.send_signal(signal.SIGKILL)
    return told(folder), child.wait() == -signal.SIGKILL


def kill_often(folder: Path, epochs: int, kills: int) -> list[tuple[int, int]]:
    """Kill the training `kills` times at least, once within an epoch at least.

    Returns for each kill the steps done, and the step of the checkpoint that stands.
    """
    run = holdfast.Run(folder / "run")
    done: list[tuple[int, int]] = []
    saved, last = 0, epochs * STEPS
    while len(done) < kills or not any(steps % STEPS for steps, _ in done):
        room = (last - saved) * 0.8 / max(1, kills - len(done))
        steps, killed = kill_at(folder, epochs, saved + int(random.uniform(0.1, 1) * room))
        if not killed:
            break
        saved = run.position.total
        done.append((steps, saved))
        within = f"step {steps % STEPS} of epoch {steps // STEPS + 1}"
        print(
            f"kill {len(done)}: SIGKILL after {steps} steps ({within}); it goes on from step "
            f"{saved}: {steps - saved} steps are done again",
            flush=True,
        )
    return done


def finish(folder: Path, epochs: int) -> holdfast.Run:
    if start(folder, epochs).wait():
        sys.exit("the training failed; see above")
    return holdfast.Run(folder / "run")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seed", type=int, help="of the moments; default: another each time")
    parser.add_argument("--folder", type=Path, help="for the runs; default: runs/demo-TIME")
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train:
        train(options.train, options.epochs)
        return
    random.seed(options.seed)
    folder = options.folder or Path("runs") / time.strftime("demo-%Y%m%d-%H%M%S")

    print(f"Training {options.epochs} epochs of {STEPS} steps in {folder}/killed.", flush=True)
    kills = kill_often(folder / "killed", options.epochs, options.kills)
    killed = finish(folder / "killed", options.epochs)
    print(f"Training the same in {folder}/whole, which nobody kills.", flush=True)
    whole = finish(folder / "whole", options.epochs)

    picture = folder / "curve.png"
    killed.history.plot(f"{len(kills)} kills").savefig(picture, dpi=130)
    x, y = digits()
    _, accuracy = killed.load_model().evaluate(x[TRAINED_ON:], y[TRAINED_ON:], verbose=0)
    equal = killed.digest() == whole.digest()
    again = sum(steps - saved for steps, saved in kills)
    print(
        f"digest, killed {len(kills)} times: {killed.digest()}\n"
        f"digest, never killed:   {whole.digest()}\n"
        f"the same bits:          {'yes' if equal else 'NO'}\n"
        f"test accuracy:          {accuracy:.4f}\n"
        f"steps done twice:       {again} of {options.epochs * STEPS}\n"
        f"the curve:              {picture}"
    )
    sys.exit(0 if equal and len(kills) >= options.kills else 1)


if __name__ == "__main__":
    main()
