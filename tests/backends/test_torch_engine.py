"""PyTorch through the stepwise engine: as exact as JAX, and the same numbers as Keras's trainer."""

import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

torch = pytest.importorskip("torch")
if keras.config.backend() != "torch":
    pytest.skip("Keras runs on another backend", allow_module_level=True)

import holdfast
from holdfast import errors
from holdfast.state import buffers
from holdfast.testing import restart_at_every_step

L = keras.layers
PROGRAM = Path(__file__).parents[1] / "programs" / "torch_modules.py"


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Of small arrays more threads than free processors are many times slower."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def samples(count=12, seed=3):
    random = np.random.default_rng(seed)
    y = random.integers(0, 3, count)
    return (random.normal(size=(count, 8)) + y[:, None]).astype("float32"), y


def compiled(model, optimizer=None, **more):
    model.compile(
        optimizer or keras.optimizers.Adam(0.01),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        **more,
    )
    return model


def of_layers(optimizer=None):
    """Dropout, convolution, batch normalization and a recurrent layer."""
    inputs = keras.Input((8,))
    x = L.Reshape((8, 1))(L.Dropout(0.2)(inputs))
    x = L.BatchNormalization()(L.Conv1D(4, 3, activation="relu")(x))
    return compiled(keras.Model(inputs, L.Dense(3)(L.GRU(4)(x))), optimizer)


def of_halves():
    """Mixed precision, whose scale grows and shrinks within the training."""
    policy = keras.dtype_policies.DTypePolicy("mixed_float16")
    model = keras.Sequential([keras.Input((8,)), L.Dense(6, "relu", dtype=policy), L.Dense(3)])
    inner = keras.optimizers.Adam(0.01)
    scaled = keras.optimizers.LossScaleOptimizer(
        inner, initial_scale=2.0**16, dynamic_growth_steps=2
    )
    return compiled(model, scaled)


class OfModules(keras.Model):
    """PyTorch's own modules: one becomes a layer since it is set, one is wrapped."""

    def __init__(self, dropout=0.3):
        super().__init__()
        self.first = torch.nn.Sequential(
            torch.nn.Linear(8, 6), torch.nn.BatchNorm1d(6), torch.nn.Dropout(dropout)
        )
        self.second = L.TorchModuleWrapper(torch.nn.BatchNorm1d(6, momentum=None))
        self.last = L.Dense(3)

    def call(self, x, training=None):
        x = self.second(self.first(x, training=training), training=training)
        # Whoever does not look at `training` goes by the modules' mode.
        return self.last(torch.nn.functional.dropout(x, 0.2, training=self.training))


def averaged():
    return keras.optimizers.SGD(
        0.01, momentum=0.9, use_ema=True, ema_overwrite_frequency=3, gradient_accumulation_steps=2
    )


MODELS = {
    "layers": lambda: of_layers(averaged()),
    "mixed precision": of_halves,
    "modules": lambda: compiled(OfModules()),
}


@pytest.mark.parametrize("name", MODELS)
def test_restarted_at_every_step(name, memory):
    x, y = samples(8)

    def make(seed):
        keras.utils.set_random_seed(seed)
        return {
            "model": MODELS[name](),
            "x": x,
            "y": y,
            "batch_size": 4,
            "epochs": 2,
            "validation_data": samples(5, 4) if name == "modules" else None,
            "verbose": 0,
        }

    assert restart_at_every_step(make, memory).moments >= 6


class Batches(keras.callbacks.Callback):
    """Draws from PyTorch's generator at each batch, and keeps what it drew and was told."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append([batch, float(logs["loss"]), float(torch.rand(()))])

    def on_test_batch_end(self, batch, logs=None):
        self.seen.append([batch, float(logs["loss"])])


@pytest.mark.parametrize("name", ["averages", "precision", "modules"])
def test_the_same_as_keras(name, memory):
    """Weights, buffers, history and what callbacks see, where no dropout draws from a generator."""
    x, y = samples(28)

    def trained(fit):
        keras.utils.set_random_seed(5)
        if name == "modules":
            model = compiled(OfModules(dropout=0.0))
            model.call = lambda x, training=None: model.last(model.second(model.first(x)))
        elif name == "precision":
            model = of_halves()
        else:
            dense = [keras.Input((8,)), L.Dense(6, "relu"), L.BatchNormalization(), L.Dense(3)]
            model = compiled(keras.Sequential(dense), averaged())
        batches = Batches()
        history = fit(
            model,
            x=x,
            y=y,
            batch_size=8,
            epochs=2,
            shuffle=False,
            validation_split=0.2,
            callbacks=[batches],
            verbose=0,
        )
        told = [entry[:2] for entry in batches.seen]
        running = [buffer.value.numpy() for buffer in buffers.of(model)]
        return [*model.get_weights(), *running], history.history, told, model.training

    keras_weights, *keras_told = trained(lambda model, **given: model.fit(**given))
    weights, *told = trained(holdfast.Run(memory / "run").fit)
    for found, expected in zip(weights, keras_weights, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert told == keras_told


def test_callbacks_that_look_at_batches(memory):
    def make(seed):
        keras.utils.set_random_seed(seed)
        x, y = samples(8)
        return {
            "model": compiled(OfModules()),
            "x": x,
            "y": y,
            "batch_size": 4,
            "epochs": 2,
            "callbacks": [Batches()],
            "verbose": 0,
        }

    restart_at_every_step(make, memory)


def test_goes_back_and_skips_the_batch_that_did_it(memory):
    x, y = samples()
    x[4:8] = 1e30

    def make(seed):
        keras.utils.set_random_seed(seed)
        model = keras.Sequential([keras.Input((8,)), L.Dense(4), L.Dense(3)])
        return {
            "model": compiled(model),
            "x": x,
            "y": y,
            "batch_size": 4,
            "epochs": 2,
            "shuffle": False,
            "callbacks": [holdfast.Rollback(verbose=0)],
            "verbose": 0,
        }

    given = make(0)
    history = holdfast.Run(memory / "run").fit(**given)
    assert np.isfinite(history.history["loss"]).all()
    assert given["callbacks"][0].rollbacks == 2
    restart_at_every_step(make, memory / "restarts")


def test_what_rollback_watches_is_the_steps_own(memory):
    """A loss of one step, and the norm of its gradient as PyTorch computes it."""
    x, y = samples(8)
    model = keras.Sequential([keras.Input((8,)), L.Dense(3)])
    compiled(model, keras.optimizers.SGD(0.0))
    seen = []

    class Judge(holdfast.Rollback):
        def judge(self, found):
            seen.extend(found.tolist())
            return super().judge(found)

    run = holdfast.Run(memory / "run")
    run.fit(
        model, x, y, batch_size=4, epochs=1, shuffle=False, verbose=0, callbacks=[Judge(factor=1)]
    )
    for number, (loss, norm) in enumerate(seen):
        rows = slice(4 * number, 4 * number + 4)
        kernel, bias = (torch.tensor(w, requires_grad=True) for w in model.get_weights())
        logits = torch.tensor(x[rows]) @ kernel + bias
        expected = torch.nn.functional.cross_entropy(logits, torch.tensor(y[rows]))
        expected.backward()
        gradient = torch.cat([kernel.grad.flatten(), bias.grad])
        np.testing.assert_allclose([loss, norm], [expected.item(), gradient.norm()], rtol=1e-4)
    assert len(seen) == 2


def test_a_hook_that_fails_leaves_the_state_before_it(memory):
    """PyTorch changes variables in place: what is held for the worst case must not change."""
    x, y = samples()
    ends = []

    class Spoils(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            ends.append([weights.copy() for weights in self.model.get_weights()])
            with torch.no_grad():
                for variable in self.model.trainable_variables:
                    variable.value.data.zero_()
            raise RuntimeError("no more")

    run = holdfast.Run(memory / "run")
    model = of_layers()
    with pytest.raises(RuntimeError, match="no more"):
        run.fit(model, x, y, batch_size=4, epochs=1, verbose=0, callbacks=[Spoils()])
    assert run.position.total == 3
    other = of_layers()
    run.load_weights(other)
    for found, expected in zip(other.get_weights(), ends[0], strict=True):
        np.testing.assert_array_equal(found, expected)


def test_data_that_fails_costs_no_step(memory):
    """What was trained before the batch that could not be read is saved."""

    class Fails(keras.utils.PyDataset):
        def __len__(self):
            return 50

        def __getitem__(self, index):
            if index == 40:
                raise OSError("the disk is gone")
            return samples(4, index)

    run = holdfast.Run(memory / "run")
    with pytest.raises(OSError, match="the disk is gone"):
        run.fit(of_halves(), Fails(), epochs=1, verbose=0, shuffle=False)
    assert 20 < run.position.total <= 40


def test_gradients_of_layers_of_one_name_are_not_added_up(memory):
    """Keras forgets to clear those of the first; here each step has its own alone."""
    x, y = samples(8)

    class Twice(keras.Model):
        def __init__(self, names):
            super().__init__()
            self.parts = [keras.Sequential([L.Dense(3, name=name)], name="part") for name in names]

        def call(self, x):
            return self.parts[1](self.parts[0](x))

    found = []
    for names in (("one", "one"), ("one", "other")):
        keras.utils.set_random_seed(1)
        model = compiled(Twice(names), keras.optimizers.SGD(0.1))
        run = holdfast.Run(memory / "-".join(names))
        run.fit(model, x, y, batch_size=4, epochs=2, shuffle=False, verbose=0)
        found.append(model.get_weights())
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_keras_refuses_is_refused_before_the_first_step(memory):
    model = compiled(of_layers(), steps_per_execution=2)
    with pytest.raises(errors.UnsupportedError, match="steps_per_execution=2"):
        holdfast.Run(memory / "run").fit(model, *samples(), verbose=0)


def test_names_of_metrics_are_known_before_the_first_step(memory):
    """Those of several outputs too, as Keras logs them."""
    inputs = keras.Input((8,))
    outputs = {"a": L.Dense(1, name="a")(inputs), "b": L.Dense(1, name="b")(inputs)}
    model = keras.Model(inputs, outputs)
    model.compile("sgd", "mse", metrics={"a": ["mae"], "b": ["mae"]})
    x, _ = samples()
    y = {"a": x[:, :1], "b": x[:, 1:2]}
    run = holdfast.Run(memory / "run")
    keep = holdfast.Keep(monitor="val_a_mea")
    with pytest.raises(errors.PlanError, match="val_a_mae") as raised:
        run.fit(model, x, y, validation_data=(x, y), keep=keep, verbose=0)
    logged = model.fit(x, y, validation_data=(x, y), verbose=0).history
    named = str(raised.value).partition("there are: ")[2]
    assert named.split(", ") == sorted(logged)


def test_killed(memory, capsys):
    """SIGKILL twice in a training of PyTorch's modules, with dropout of its generator."""

    def end(run):
        """Train to the end, in this process; return the digest."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", [str(PROGRAM), str(run), "0"])
            runpy.run_path(str(PROGRAM))
        return capsys.readouterr().out

    environment = {**os.environ, "KERAS_BACKEND": "torch"}
    for kill in (3, 9):
        command = [sys.executable, str(PROGRAM), str(memory / "killed"), str(kill)]
        child = subprocess.run(command, env=environment, capture_output=True, check=False)
        assert child.returncode == -signal.SIGKILL, child.stderr
    assert holdfast.Run(memory / "killed").position.total >= 6
    assert end(memory / "killed") == end(memory / "whole")


def test_what_a_wrapped_module_is_and_has(memory):
    class Counting(torch.nn.Linear):
        def get_extra_state(self):
            return {"calls": 1}

        def set_extra_state(self, state):
            pass

    def build(rate, kind=torch.nn.Linear):
        keras.utils.set_random_seed(1)
        module = torch.nn.Sequential(kind(6, 2), torch.nn.Dropout(rate))
        model = keras.Sequential([keras.Input((6,)), keras.layers.TorchModuleWrapper(module)])
        model.compile("sgd", "mse")
        return model

    x, y = np.zeros((8, 6), "float32"), np.zeros((8, 2), "float32")
    run = holdfast.Run(memory / "run")
    run.fit(build(0.1), x, y, verbose=0)
    assert run.identity().model is None, "the modules' weights are in run.json"
    with pytest.raises(holdfast.errors.PlanChangedError, match="PyTorch modules"):
        run.fit(build(0.2), x, y, epochs=2, verbose=0)
    with pytest.warns(UserWarning, match=r"Counting.get_extra_state\(\)"):
        holdfast.Run(memory / "other").fit(build(0.1, Counting), x, y, verbose=0)
