"""Bad input is refused before the first step, in words; what changes is named."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

import holdfast
from holdfast import errors


def make_model(units=8, rate=0.01):
    model = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(units, activation="relu"), keras.layers.Dense(3)]
    )
    model.compile(
        keras.optimizers.SGD(rate),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def fit(path, model, blobs, **more):
    x, y = blobs
    return holdfast.Run(path).fit(model, **{"x": x, "y": y, "verbose": 0, "epochs": 2, **more})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"epochs": "3"}, "epochs must be an integer, found '3'"),
        ({"epochs": -1}, "epochs must be an integer >= 0"),
        ({"batch_size": 0}, "batch_size must be an integer >= 1, found 0"),
        ({"verbose": 3}, "verbose must be 'auto', 0, 1 or 2, found 3"),
        ({"shuffle": "all"}, "shuffle must be True, False or 'batch'"),
        ({"validation_split": 1.0}, "validation_split must be from 0 to below 1"),
        ({"validation_split": 0.999}, "not sufficient to split"),
        ({"validation_freq": 0}, "validation_freq must be an integer >= 1"),
        ({"class_weight": [1, 2]}, "class_weight must be a dict"),
        ({"y": np.zeros(3)}, "(?s)same number of samples.*44.*3"),
        ({"x": np.zeros((0, 6)), "y": np.zeros(0)}, "x has no samples"),
        ({"x": None}, "x is None; expected an array"),
        ({"callbacks": [keras.callbacks.EarlyStopping]}, "the class EarlyStopping; expected an"),
        ({"callbacks": [print]}, "expected keras.callbacks.Callback"),
        ({"callbacks": keras.callbacks.BackupAndRestore("b")}, "the run itself does what it does"),
        ({"every": 5}, "every must be a holdfast.Every, found 5"),
        ({"sample_weight": np.ones(44), "class_weight": {0: 1.0}}, "sample_weight"),
    ],
)
def test_bad_arguments_are_named_and_nothing_is_made(arguments, message, blobs, tmp_path):
    with pytest.raises(errors.PlanError, match=message):
        fit(tmp_path / "run", make_model(), blobs, **arguments)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"steps": 0}, r"Every\(steps=…\) must be above 0, found 0"),
        ({"epochs": 1.5}, r"Every\(epochs=…\) must be an integer, found 1.5"),
        ({"seconds": "1"}, r"Every\(seconds=…\) must be a number, found '1'"),
    ],
)
def test_bad_rules(rules, message):
    with pytest.raises(errors.PlanError, match=message):
        holdfast.Every(**rules)
    with pytest.raises(errors.PlanError, match=r"Keep\(last=…\) must be an integer >= 1"):
        holdfast.Keep(last=0)


@pytest.mark.parametrize(
    ("x", "named"),
    [
        ([[1.0, 2.0], [3.0, 4.0]], "float"),
        (np.array(["a", "b"]), "type <U1"),
        (np.float32(3), "numpy.float32"),
    ],
)
def test_other_data_is_refused_with_what_is_supported(x, named, tmp_path):
    with pytest.raises(errors.UnsupportedError, match=named) as caught:
        holdfast.Run(tmp_path / "run").fit(make_model(), x, verbose=0)
    assert "expected numbers" in str(caught.value) or "takes arrays" in str(caught.value)


def test_a_model_that_is_not_compiled_and_what_is_no_model(blobs, tmp_path):
    with pytest.raises(errors.PlanError, match=r"call model\.compile"):
        fit(tmp_path / "run", keras.Sequential([keras.layers.Dense(3)]), blobs)
    with pytest.raises(errors.PlanError, match=r"expected a keras\.Model to train, found a str"):
        fit(tmp_path / "run", "model", blobs)


def test_another_backend_is_refused_with_the_way_out(tmp_path):
    program = (
        "import holdfast, keras, numpy as np\n"
        "m = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])\n"
        "m.compile('sgd', 'mse')\n"
        f"holdfast.Run({str(tmp_path / 'run')!r}).fit(m, np.zeros((4, 2)), np.zeros(4))\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "KERAS_BACKEND": "numpy"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "UnsupportedError: Keras runs on numpy; Run.fit supports the backends" in found.stderr
    assert "KERAS_BACKEND=jax" in found.stderr


def test_a_changed_plan_is_refused_difference_by_difference(blobs, tmp_path):
    x, y = blobs
    fit(tmp_path / "run", make_model(), blobs)
    other = make_model(units=9, rate=0.02)
    with pytest.raises(errors.PlanChangedError) as caught:
        fit(tmp_path / "run", other, (x + 1, y), epochs=3, batch_size=4)
    names = [name for name, _, _ in caught.value.differences]
    assert any(name.startswith("model, layers") and name.endswith("units") for name in names)
    assert ("training data, batch size", "32", "4") in caught.value.differences
    assert any(name == "optimizer, learning_rate" for name in names)
    assert any(name.startswith("training data, contents") for name in names)
    assert "fresh=True" in str(caught.value)
    assert "was 32, is 4" in str(caught.value)


def test_what_is_no_change(blobs, tmp_path):
    """The model built again under other names, more epochs, callbacks, verbosity, cadence."""
    fit(tmp_path / "run", make_model(), blobs, callbacks=[keras.callbacks.EarlyStopping("loss")])
    make_model()
    history = fit(
        tmp_path / "run",
        make_model(),
        blobs,
        epochs=4,
        verbose=2,
        callbacks=[keras.callbacks.TerminateOnNaN()],
        every=holdfast.Every(steps=1),
    )
    assert history.epoch == [0, 1, 2, 3]


def test_a_learning_rate_a_callback_changed_is_no_change(blobs, tmp_path):
    """In a notebook the model object has the rate at which the run stands."""
    model = make_model()
    scheduler = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.5)
    fit(tmp_path / "run", model, blobs, callbacks=[scheduler])
    history = fit(tmp_path / "run", model, blobs, callbacks=[scheduler], epochs=3)
    np.testing.assert_allclose(history.history["learning_rate"], [0.005, 0.0025, 0.00125])


def test_fresh_moves_the_old_run_aside(blobs, tmp_path, capsys):
    fit(tmp_path / "run", make_model(), blobs)
    before = holdfast.Run(tmp_path / "run").digest()
    fit(tmp_path / "run", make_model(units=9), blobs, fresh=True, verbose=2)
    assert holdfast.Run(tmp_path / "run.old-1").digest() == before
    assert "run.old-1" in capsys.readouterr().out.replace("\n", "")
    assert holdfast.Run(tmp_path / "run").digest() != before


def test_a_directory_with_other_things_is_left_alone(blobs, tmp_path):
    (tmp_path / "thesis.txt").write_text("irreplaceable")
    with pytest.raises(errors.RunError, match=r"no run and not empty \(it has thesis.txt\)"):
        fit(tmp_path, make_model(), blobs)
    with pytest.raises(errors.RunError, match="is a file; expected a directory"):
        fit(tmp_path / "thesis.txt", make_model(), blobs)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_kinds_of_arrays(blobs, tmp_path):
    """Lists, memory maps and JAX arrays of the same numbers are the same training."""
    import jax.numpy as jnp

    x, y = blobs
    np.save(tmp_path / "x.npy", x)
    digests = set()
    for number, given in enumerate([x, np.load(tmp_path / "x.npy", mmap_mode="r"), jnp.asarray(x)]):
        keras.utils.set_random_seed(1)
        fit(tmp_path / f"run{number}", make_model(), (given, y))
        digests.add(holdfast.Run(tmp_path / f"run{number}").digest())
    assert len(digests) == 1


def test_a_run_without_a_checkpoint_takes_a_new_plan(blobs, tmp_path):
    """Validation data of the wrong width fails before the first step; mended, it trains."""
    x, y = blobs
    with pytest.raises(ValueError, match="incompatible") as caught:
        fit(tmp_path / "run", make_model(), blobs, validation_data=(x[:, :4], y))
    assert any("nothing was trained" in note for note in caught.value.__notes__)
    assert not holdfast.Run(tmp_path / "run").checkpoints
    history = fit(tmp_path / "run", make_model(), blobs, validation_data=(x, y))
    assert history.epoch == [0, 1]


def test_a_layers_own_random_seed_is_no_change(tmp_path):
    """RandomCrop draws a seed where none is given, and has it in its configuration."""
    x, y = np.zeros((12, 6, 6, 1), "float32"), np.zeros((12, 1), "float32")

    def crops():
        model = keras.Sequential(
            [keras.layers.RandomCrop(6, 6), keras.layers.Flatten(), keras.layers.Dense(1)]
        )
        model.compile("sgd", "mse")
        return model

    fit(tmp_path / "run", crops(), (x, y), epochs=1)
    assert fit(tmp_path / "run", crops(), (x, y), epochs=2).epoch == [0, 1]


def test_the_rate_of_a_model_that_failed_in_this_process_is_no_change(blobs, tmp_path):
    """In a notebook: one callback has changed the rate, the next one fails; run the cell again."""

    class Fails(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1 and not self.params.get("mended"):
                raise OSError("the cable")

    model = make_model()
    scheduler = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.5)
    with pytest.raises(OSError, match="the cable"):
        fit(tmp_path / "run", model, blobs, callbacks=[scheduler, Fails()])
    history = fit(tmp_path / "run", model, blobs, callbacks=[scheduler])
    np.testing.assert_allclose(history.history["learning_rate"], [0.005, 0.0025])


def test_a_schedule_that_cannot_describe_itself_trains(blobs, tmp_path):
    class Own(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step):
            return 0.01 / (1 + keras.ops.cast(step, "float32"))

    model = make_model()
    model.compile(keras.optimizers.SGD(Own()), model.loss)
    assert fit(tmp_path / "run", model, blobs).epoch == [0, 1]


def test_what_keras_would_call_and_holdfast_would_not_is_refused(blobs, tmp_path):
    class Preprocesses(keras.Sequential):
        def fit(self, x, y, **options):
            return super().fit(x * 10, y, **options)

    model = Preprocesses([keras.layers.Dense(3)])
    model.compile("sgd", "mse")
    with pytest.raises(errors.UnsupportedError, match="Preprocesses overrides fit"):
        fit(tmp_path / "run", model, blobs)


def test_masked_arrays_are_refused_as_in_keras(blobs, tmp_path):
    x, y = blobs
    with pytest.raises(errors.UnsupportedError, match="x holds a masked array"):
        fit(tmp_path / "run", make_model(), (np.ma.masked_array(x, mask=x > 1), y))
