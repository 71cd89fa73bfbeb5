"""What people ask of a run, and what they see while it trains."""

import io
import json
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import keras
import numpy as np
import pytest

import holdfast
from holdfast import errors


def make_model():
    keras.utils.set_random_seed(4)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(16, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


@pytest.fixture(scope="module")
def trained(digits, tmp_path_factory):
    """A run of 5 epochs with every checkpoint kept, its model and its history."""
    x, y = digits
    run = holdfast.Run(tmp_path_factory.mktemp("trained") / "run")
    model = make_model()
    history = run.fit(
        model,
        x[:1000],
        y[:1000],
        epochs=5,
        verbose=0,
        validation_data=(x[1000:], y[1000:]),
        every=holdfast.Every(epochs=1),
        keep=holdfast.Keep(last=9),
    )
    return run, model, history


def test_nothing_is_made_before_fit(tmp_path):
    run = holdfast.Run(tmp_path / "new")
    assert run.status == "new"
    assert run.position == holdfast.types.Position(0, 0, 0)
    assert run.checkpoints == []
    for ask in (run.last, run.best, run.digest, run.verify, run.prune, run.load_model):
        with pytest.raises(errors.NotARunError, match="is no run"):
            ask()
    assert not run.path.exists()


def test_history_is_keras_history(trained):
    _, model, history = trained
    assert isinstance(history, keras.callbacks.History)
    assert model.history is history
    assert history.epoch == [0, 1, 2, 3, 4]
    assert set(history.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    figure = history.plot()
    assert [axes.get_title() for axes in figure.axes] == ["loss", "accuracy"]


def test_status_position_and_checkpoints(trained):
    run, _, history = trained
    assert run.status == "finished"
    assert run.position == holdfast.types.Position(5, 0, 5 * 32)
    steps = [(item.position.total, item.final) for item in run.checkpoints]
    assert steps == [(0, False), *((32 * n, False) for n in range(1, 6)), (160, True)]
    assert run.last().final
    best = run.best()
    values = history.history["val_loss"]
    assert best.metrics["val_loss"] == min(values)
    assert run.best("accuracy").metrics["accuracy"] == max(history.history["accuracy"])
    assert run.best("val_loss", "max").metrics["val_loss"] == max(values)
    with pytest.raises(errors.NoCheckpointError, match="did you mean 'val_loss'"):
        run.best("val_los")


def test_models_load_with_the_weights_of_their_step(trained, digits):
    x, y = digits
    run, model, history = trained
    for which in ("last", 160):
        loaded = run.load_model(which)
        np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    loss, accuracy = run.load_model("best").evaluate(x[1000:], y[1000:], verbose=0)
    epoch = int(np.argmin(history.history["val_loss"]))
    np.testing.assert_allclose(loss, history.history["val_loss"][epoch], rtol=1e-5)
    np.testing.assert_allclose(accuracy, history.history["val_accuracy"][epoch], rtol=1e-5)
    early = run.load_model(32)
    other = make_model()
    run.load_weights(other, 32)
    np.testing.assert_array_equal(early.predict(x, verbose=0), other.predict(x, verbose=0))
    with pytest.raises(errors.NoCheckpointError, match=r"'last', 'best' and the steps 0, 32, 64"):
        run.load_model(33)
    with pytest.raises(errors.NoCheckpointError, match="did you mean 'best'"):
        run.load_model("bset")


@pytest.mark.parametrize("serializable", [True, False])
def test_a_model_of_own_parts(serializable, digits, tmp_path):
    class Mine(keras.Model):
        def __init__(self, wide):
            super().__init__()
            self.dense = keras.layers.Dense(wide)

        def call(self, x):
            return self.dense(keras.ops.reshape(x, (-1, 64)))

    if serializable:
        Mine.get_config = lambda self: {"wide": self.dense.units}

    x, y = digits
    model = Mine(10)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    run = holdfast.Run(tmp_path / "run")
    run.fit(model, x, y, verbose=0)
    if serializable:
        loaded = run.load_model(custom_objects={"Mine": Mine})
        np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    else:
        with pytest.raises(errors.StoreError, match=r"call load_weights\(model\)"):
            run.load_model()
    other = Mine(10)
    other(x[:1])
    run.load_weights(other)
    np.testing.assert_array_equal(other.predict(x, verbose=0), model.predict(x, verbose=0))
    wrong = Mine(9)
    wrong(x[:1])
    with pytest.raises(errors.DamagedError, match=r"should have shape \(64, 9\), found shape"):
        run.load_weights(wrong)


def test_weights_for_another_architecture_are_refused_not_half_loaded(trained):
    run, _, _ = trained
    unbuilt = keras.Sequential([keras.layers.Dense(16), keras.layers.Dense(10)])
    with pytest.raises(errors.DamagedError, match="is the model built"):
        run.load_weights(unbuilt)
    smaller = keras.Sequential([keras.Input((64,)), keras.layers.Dense(16)])
    with pytest.raises(errors.DamagedError, match="has 2 variables that the model has not"):
        run.load_weights(smaller)


def test_layers_that_derive_from_their_variables_are_whole_after_loading(tmp_path):
    """Normalization keeps mean and variance twice: as variables, and ready for use."""
    random = np.random.default_rng(1)
    x, y = random.normal(5, 3, (40, 4)).astype("float32"), random.normal(size=(40, 1))

    def normalizing(adapted):
        layer = keras.layers.Normalization()
        if adapted:
            layer.adapt(x)
        model = keras.Sequential([keras.Input((4,)), layer, keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        return model

    run = holdfast.Run(tmp_path / "run")
    model = normalizing(adapted=True)
    run.fit(model, x, y, epochs=2, verbose=0)
    expected = model.predict(x, verbose=0)
    np.testing.assert_array_equal(run.load_model().predict(x, verbose=0), expected)
    other = normalizing(adapted=False)
    run.load_weights(other)
    np.testing.assert_array_equal(other.predict(x, verbose=0), expected)


def test_a_relative_path_holds_when_a_callback_changes_the_directory(digits, tmp_path, monkeypatch):
    import os

    monkeypatch.chdir(tmp_path)
    x, y = digits
    away = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: os.chdir("/"))
    run = holdfast.Run("runs/a")
    run.fit(make_model(), x, y, epochs=2, verbose=0, callbacks=[away])
    assert run.status == "finished"
    assert (tmp_path / "runs" / "a" / "run.json").is_file()


def test_a_damaged_newest_checkpoint_is_passed_over_and_said(digits, tmp_path, capsys):
    x, y = digits
    run = holdfast.Run(tmp_path / "run")
    options = {"x": x[:320], "y": y[:320], "every": holdfast.Every(epochs=1), "verbose": 0}
    run.fit(make_model(), epochs=3, **options)
    whole = run.digest()
    for item in run.checkpoints[-2:]:
        item.path.write_bytes(item.path.read_bytes().replace(b'"epoch":3', b'"epoch":4'))
    assert len(run.verify().findings) == 2
    run.fit(make_model(), epochs=3, **options)
    assert "damaged and was passed over" in capsys.readouterr().err
    assert run.digest() == whole
    assert not run.verify().findings


def test_when_no_checkpoint_is_sound_it_says_so_and_fresh_goes_on(digits, tmp_path):
    x, y = digits
    run = holdfast.Run(tmp_path / "run")
    run.fit(make_model(), x[:320], y[:320], verbose=0)
    for pack in run.path.glob("packs/*"):
        pack.write_bytes(pack.read_bytes()[:-1])
    with pytest.raises(errors.NoCheckpointError, match=r"(?s)no sound checkpoint.*fresh=True"):
        run.fit(make_model(), x[:320], y[:320], verbose=0)
    run.fit(make_model(), x[:320], y[:320], verbose=0, fresh=True)
    assert run.status == "finished"


@pytest.mark.parametrize(
    ("lose", "says"),
    [
        (lambda root: (root / "run.json").unlink(), "its run.json is gone. Put a copy of it back"),
        (lambda root: (root / "run.json").write_text("{}"), "Put a copy of it back"),
        (lambda root: shutil.rmtree(root / "checkpoints"), "had checkpoints, as its journal tells"),
    ],
    ids=["run.json gone", "run.json damaged", "checkpoints gone"],
)
def test_a_run_that_lost_what_only_a_copy_can_mend_is_not_begun_anew(lose, says, digits, tmp_path):
    x, y = digits
    run = holdfast.Run(tmp_path / "run")
    run.fit(make_model(), x[:320], y[:320], verbose=0)
    packs = sorted(run.path.glob("packs/*"))
    lose(run.path)
    with pytest.raises(errors.HoldfastError) as refused:
        run.fit(make_model(), x[:320], y[:320], verbose=0)
    assert says in str(refused.value)
    assert "fresh=True" in str(refused.value)
    assert sorted(run.path.glob("packs/*")) == packs
    run.fit(make_model(), x[:320], y[:320], verbose=0, fresh=True)
    assert run.status == "finished"
    assert sorted((tmp_path / "run.old-1").glob("packs/*"))


def test_what_a_callback_cannot_keep_is_named_before_the_first_step(digits, tmp_path):
    class Writes(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.file = io.StringIO()
            self.steps = 0

        def on_epoch_begin(self, epoch, logs=None):
            raise RuntimeError("the first epoch began")

    x, y = digits
    run = holdfast.Run(tmp_path / "run")
    with (
        pytest.warns(UserWarning, match=r"Writes\.file is a _io\.StringIO"),
        pytest.raises(RuntimeError),
    ):
        run.fit(make_model(), x, y, verbose=0, callbacks=[Writes()])


def test_progress_is_one_line_an_epoch_where_there_is_no_terminal(digits, tmp_path, capsys):
    x, y = digits
    run = holdfast.Run(tmp_path / "run")
    run.fit(make_model(), x, y, epochs=2, validation_split=0.2)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"holdfast: {run.path}: a new run"
    assert lines[1].startswith("holdfast: fused engine: no callback looks at single batches; one")
    assert [line.split("  ")[0] for line in lines[2:]] == [
        "Epoch 1/2",
        "Epoch 2/2",
        "holdfast: best epoch 2 of 2:",
        "holdfast: ended: all 2 epochs are done",
        f"holdfast: saved in {run.path}",
    ]
    assert re.search(r"loss: \d.*val_loss: \d", lines[3])
    assert re.search(r"loss: \d.*val_loss: \d", lines[4])

    run.fit(make_model(), x, y, epochs=3, validation_split=0.2)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"holdfast: {run.path}: goes on from step 90, epoch 3 (attempt 2)"
    assert lines[2].startswith("Epoch 3/3")

    run.fit(make_model(), x, y, epochs=3, validation_split=0.2)
    assert "is finished (all epochs done, 135 steps)" in capsys.readouterr().out

    holdfast.Run(tmp_path / "quiet").fit(make_model(), x, y, verbose=0)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_killed_before_its_end_it_is_pruned_by_what_it_was_judged_by(digits, tmp_path):
    """The journal without its last line, the end, is what such a kill leaves."""
    x, y = digits
    run = holdfast.Run(tmp_path / "run")

    def fit(last):
        # By the greatest loss the first epoch is the best one; by `val_loss` it would be another.
        stopping = keras.callbacks.EarlyStopping("loss", mode="max", patience=9)
        given = {"epochs": 4, "validation_split": 0.2, "verbose": 0, "callbacks": [stopping]}
        keep = holdfast.Keep(last=last, best=1)
        run.fit(make_model(), x, y, every=holdfast.Every(epochs=1), keep=keep, **given)

    fit(last=9)
    assert len(run.checkpoints) > 4
    lines = run.journal().path.read_bytes().splitlines(keepends=True)
    assert b"finished" in lines[-1]
    run.journal().path.write_bytes(b"".join(lines[:-1]))
    fit(last=1)
    assert run.status == "finished"
    assert [point.position.epoch for point in run.checkpoints if not point.final] == [1, 4]


def test_progress_on_a_terminal_is_a_bar_with_steps_time_and_metrics(tmp_path):
    """A real terminal, of the kernel: the bar must show, count right, and go away."""
    import os
    import pty

    program = Path(__file__).parent / "programs" / "digits.py"
    main, child_end = pty.openpty()
    command = [sys.executable, str(program), str(tmp_path / "run"), "--verbose", "1"]
    child = subprocess.Popen(
        [*command, "--epochs", "40"], stdout=child_end, env={**os.environ, "COLUMNS": "120"}
    )
    os.close(child_end)
    seen = b""
    while True:
        try:
            part = os.read(main, 65536)
        except OSError:
            break
        if not part:
            break
        seen += part
    assert child.wait() == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode())
    bars = re.findall(r"Epoch (\d+)/40 \S+ +(\d+)/188", text)
    assert bars, text[-2000:]
    assert all(1 <= int(epoch) <= 40 and 0 <= int(done) <= 188 for epoch, done in bars)
    assert re.search(r"accuracy: 0\.\d+ +loss: \d", text)
    assert re.search(r"Epoch 40/40 +\d+\.\ds +accuracy", text)


def test_the_public_names():
    assert holdfast.__all__ == [
        "EarlyStopping",
        "Every",
        "Keep",
        "ModelCheckpoint",
        "Rollback",
        "Run",
        "convert",
        "disable",
        "enable",
        "errors",
        "export",
        "fit",
        "load_model",
        "load_weights",
        "save_model",
        "save_weights",
    ]
    assert all(getattr(holdfast, name) for name in holdfast.__all__)
    with pytest.raises(AttributeError, match="did you mean 'EarlyStopping'"):
        holdfast.EarlyStoping  # noqa: B018
    assert isinstance(holdfast.fit, type(test_the_public_names))


def test_fit_in_one_call(digits, tmp_path):
    x, y = digits
    history = holdfast.fit(make_model(), x, y, epochs=1, verbose=0, run=tmp_path / "run")
    assert history.epoch == [0]
    assert holdfast.Run(tmp_path / "run").status == "finished"


def child(program, *arguments, **environment):
    import os

    found = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    return found.stdout


def test_import_is_light():
    loaded = child("import holdfast, sys, json; print(json.dumps(sorted(sys.modules)))")
    heavy = {"keras", "jax", "torch", "tensorflow", "matplotlib", "pandas", "scipy"}
    assert not heavy & set(json.loads(loaded))


def test_a_plain_fit_imports_what_it_needs_alone(tmp_path):
    loaded = child(
        """
        import json, sys
        import keras, numpy
        from holdfast import Run
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        x = numpy.ones((8, 2), "float32")
        Run(sys.argv[1]).fit(model, x, x[:, :1], epochs=2, validation_split=0.5, verbose=0)
        print(json.dumps(sorted(sys.modules)))
        """,
        str(tmp_path / "run"),
    )
    late = """
        cli compat exporting formats judge prediction serving testing callbacks.model_checkpoint
        callbacks.model_files history.chart history.figure store.repair store.verify
    """
    late = (*(f"holdfast.{name}" for name in late.split()), "rich.progress")
    assert [name for name in json.loads(loaded) if name.startswith(late)] == []


@pytest.mark.parametrize(
    ("written", "environment", "expected"),
    [
        (None, {}, "jax"),
        # What Keras writes by itself at its first import, in whatever backend.
        (
            {
                "floatx": "float32",
                "epsilon": 1e-07,
                "backend": "tensorflow",
                "image_data_format": "channels_last",
            },
            {},
            "jax",
        ),
        ({"backend": "numpy"}, {}, "numpy"),
        (None, {"KERAS_BACKEND": "numpy"}, "numpy"),
    ],
)
def test_jax_is_picked_where_nobody_chose(written, environment, expected, tmp_path):
    if written is not None:
        (tmp_path / "keras.json").write_text(json.dumps(written))
    environment = {"KERAS_BACKEND": "", "KERAS_HOME": str(tmp_path), **environment}
    found = child("import holdfast, keras; print(keras.config.backend())", **environment)
    assert found.strip() == expected


def test_memory_is_one_copy_of_the_state_at_most():
    """A checkpoint after every step, against Keras's training without any."""
    program = """
        import resource, tempfile
        import holdfast, keras, numpy as np
        model = keras.Sequential(
            [keras.Input((512,)), *(keras.layers.Dense(4096) for _ in range(2))]
        )
        model.compile(keras.optimizers.Adam(1e-5), "mse")
        data = np.zeros((64, 512), "float32"), np.zeros((64, 4096), "float32")
        options = {"batch_size": 8, "epochs": 2, "verbose": 0}
        with tempfile.TemporaryDirectory() as folder:
            run = holdfast.Run(folder + "/run")
            if WITH_CHECKPOINTS:
                run.fit(model, *data, every=holdfast.Every(steps=1), **options)
                state = run.checkpoints[-1].size
            else:
                model.fit(*data, **options)
                state = 0
        print(state, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
    """
    _, without = map(int, child(program.replace("WITH_CHECKPOINTS", "False")).split())
    state, with_checkpoints = map(int, child(program.replace("WITH_CHECKPOINTS", "True")).split())
    assert state > 200e6
    assert with_checkpoints - without < state + 100e6


def test_a_run_from_elsewhere_imports_nothing_that_is_not_imported(trained, tmp_path):
    """A model's configuration may name any module; opening it must not run that module."""
    import shutil

    from holdfast.store.identity import load_identity, write_identity
    from holdfast.store.layout import Layout

    run, _, _ = trained
    shutil.copytree(run.path, tmp_path / "run")
    layout = Layout(tmp_path / "run")
    identity = load_identity(layout)
    identity.model["config"]["layers"][1].update(module="antigravity", registered_name="Evil")
    write_identity(layout, identity)
    with pytest.raises(errors.CustomObjectError, match="which neither Keras nor Holdfast has"):
        holdfast.Run(tmp_path / "run").load_model()
    assert "antigravity" not in sys.modules


def test_a_loaded_model_goes_on_with_its_optimizer(trained):
    """What `load_model` gives has the state of the optimizer, unless it is left out."""
    run, _, _ = trained
    model = run.load_model()
    assert int(model.optimizer.iterations) == run.position.total
    assert not run.load_model(compile=False).compiled
    assert int(holdfast.load_model(run.path).optimizer.iterations) == run.position.total


def test_a_model_saved_as_a_run_is_one_and_is_not_trained_in_place(digits, trained, tmp_path):
    (x, y), (run, _, _) = digits, trained
    model = run.load_model()
    holdfast.save_model(model, tmp_path / "kept", format="run")
    kept = holdfast.Run(tmp_path / "kept")
    assert kept.status == "finished"
    assert not kept.verify().findings
    again = holdfast.load_model(tmp_path / "kept")
    for was, now in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)
    assert int(again.optimizer.iterations) == int(model.optimizer.iterations)
    with pytest.raises(errors.RunError, match="no training to go on with"):
        kept.fit(model, x, y)
    with pytest.raises(errors.RunError, match="is not empty"):
        holdfast.save_model(model, tmp_path / "kept", format="run")


def test_a_model_loaded_with_the_rate_that_training_left_goes_on(blobs, tmp_path):
    run = holdfast.Run(tmp_path / "run")
    slower = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.9)
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    x, y = blobs[0], np.zeros((44, 3))
    run.fit(model, x, y, epochs=3, verbose=0, callbacks=[slower])
    loaded = run.load_model("last")
    assert len(run.fit(loaded, x, y, epochs=5, verbose=0, callbacks=[slower]).epoch) == 5
