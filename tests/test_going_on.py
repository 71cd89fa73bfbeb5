"""Training goes on from a file where the program that wrote it stopped.

The oracle is that program: it saved after some steps, made some more, and its weights then are in
the corpus. What nothing old can tell is told by the file's own arrays.
"""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from corpus_models import HERE, cases, digest, structure
from turns import ALL

import holdfast
from holdfast.formats.legacy.training import translate_training
from holdfast.formats.live import bind
from holdfast.formats.live.build import build_model
from holdfast.formats.live.compiling import compile_model
from holdfast.formats.live.optimizer import restore_optimizer
from holdfast.formats.live.optimizer_order import Rearranged
from holdfast.formats.live.optimizer_slots import by_variable
from holdfast.formats.live.optimizer_state import State
from holdfast.formats.model_file import ByLayer, Entry, LayerEntries, ModelFile
from holdfast.formats.opening import open_file
from holdfast.optimizers import SlowNadam

# Of these the weights after are not those of the formula. In TensorFlow 1 nothing says whether a
# gradient reads a kernel before or after that kernel's update. If the gradient of the hidden layer
# goes through the output layer's kernel as it is after its update, in the steps counted here from
# 0, the weights after are found.
RACED = {
    **{
        f"keras-1.2.2-tensorflow/trained_{optimizer}": (0, 1, 2, 3, 4)
        for optimizer in ("adadelta", "adagrad", "adam", "adamax", "nadam", "rmsprop", "sgd")
    },
    "keras-2.1.6/trained_adagrad": (0,),
}
# Of these they are neither the formula's nor those of the order above in any of the steps. Why is
# not known. The same optimizers give the right weights in files of the versions beside.
NOT_EXPLAINED = {
    "keras-2.0.8/trained_rmsprop",
    "keras-2.2.0/trained_adamax",
    "keras-2.2.0/trained_rmsprop",
    "keras-2.2.4/trained_nadam",
    "keras-2.3.1/trained_adam",
    "keras-2.3.1/trained_amsgrad",
    "keras-2.3.1/trained_nadam",
}
# How far weights may be from the old program's after the same steps; 1e-5 where not said.
TOLERANCE = {
    # The gradient of a bias before a BatchNormalization is rounding errors, which Adam enlarges.
    "trained_classifier": 2e-3,
    # Keras 2.11 to 2.15 multiplied Nadam's momenta once for each variable, not once a step.
    "trained_nadam": 5e-4,
    "trained_mixed_precision": 1e-4,
}


def trained(folder: str) -> list[str]:
    manifest = json.loads((HERE / folder / "corpus.json").read_text())
    return [entry["name"] for entry in manifest if entry["optimizer"] and not entry["refused"]]


NEW = [name for name in trained("") if name != "trained_subclassed"]
OLD = [name for name in trained("old") if name not in {*RACED, *NOT_EXPLAINED}]
if not ALL:
    # Versions and optimizers of every kind are among them.
    NEW, OLD = NEW[1::3], OLD[2::5]
# One of each way in which an optimizer lists its arrays.
SEVERAL = [
    "trained_adafactor",
    "trained_adam_averaged",
    "trained_classifier",
    "trained_exponential_decay",
    "trained_mixed_precision",
    "trained_recurrent",
    "trained_rmsprop_centered",
    "trained_several_losses",
    "trained_sgd",
]
SEVERAL_LEGACY = [
    "trained_legacy_adam_amsgrad",
    "trained_legacy_ftrl",
    "trained_legacy_nadam",
    "trained_partly_frozen",
]
OTHER_FILES = [(kind, name) for kind in ("keras", "saved_model") for name in SEVERAL]
CHECKPOINTS = [*SEVERAL, *SEVERAL_LEGACY]
if not ALL:
    OTHER_FILES, CHECKPOINTS = OTHER_FILES[::3], CHECKPOINTS[::3]


def case(name: str) -> Any:
    folder = "old" if "/" in name else ""
    return next(found for found in cases(folder) if found.name == name)


def reopened(path: Path, weights: Path | None = None) -> Any:
    """The model of a file, compiled; with the weights and the optimizer of another, if given."""
    with open_file(path) as file, open_file(weights or path) as other:
        built = build_model(file, None, "tensorflow" if file.major == 1 else None)
        translation = None if weights else built.translation
        bind.bind(built.model, other, translation=translation)
        assert compile_model(built.model, file, None)
        assert restore_optimizer(built.model, other, translation)
        return built.model


def train(model: Any, x: Any, y: Any, size: int, steps: range) -> None:
    count = len(keras.tree.flatten(x)[0]) // size
    for step in steps:
        start = step % count * size
        batch = keras.tree.map_structure(lambda a, i=start: a[i : i + size], (x, y))
        model.train_on_batch(*batch)


def goes_on(found: Any, model: Any, late: Collection[int] = ()) -> float:
    """Make the steps that the old program made; the largest distance from its weights.

    Args:
        found: the case.
        model: of its file.
        late: see `RACED`.
    """
    told = found.facts["optimizer"]
    with np.load(found.files / found.name / "io.npz") as stored:
        arrays = {name: stored[name] for name in stored.files}
    places: dict[str, list[int]] = {}
    for place, (*_, sum_) in enumerate(found.facts["weights"]):
        places.setdefault(sum_, []).append(place)
    pairs = [(variable, places[digest(variable.numpy())].pop(0)) for variable in model.weights]
    x, y = structure(arrays, "x", told["x"]), structure(arrays, "y", told["y"])
    first, more = told["steps"], told["more"]
    for step in range(more):
        train_one = train_late if step in late else train
        train_one(model, x, y, told["batch_size"], range(first + step, first + step + 1))
    assert int(model.optimizer.iterations) in (first + more, more)
    after = [arrays[f"after/{place}"] for _, place in pairs]
    return max(
        float(np.abs(variable.numpy() - array).max())
        for (variable, _), array in zip(pairs, after, strict=True)
    )


def train_late(model: Any, x: Any, y: Any, size: int, steps: range) -> None:
    """As `train`, two layers and the mean squared error, in the order of `RACED`."""
    hidden, output = model.layers
    for step in steps:
        start = step % (len(x) // size) * size
        one, truth = x[start : start + size], y[start : start + size]
        weights = [np.array(v) for v in model.trainable_variables]
        kernel, bias, kernel2, bias2 = weights
        state = [np.array(v) for v in model.optimizer.variables]
        h = np.tanh(one @ kernel + bias)
        behind = 2 * (h @ kernel2 + bias2 - truth) / truth.size
        last = [h.T @ behind, behind.sum(axis=0)]

        def gradients(
            through: Any, one: Any = one, h: Any = h, behind: Any = behind, last: Any = last
        ) -> list[Any]:
            ahead = behind @ through.T * (1 - h**2)
            return [keras.ops.cast(g, "float32") for g in (one.T @ ahead, ahead.sum(axis=0), *last)]

        updated, _ = model.optimizer.stateless_apply(state, gradients(kernel2), weights)
        model.optimizer.apply(gradients(np.array(updated[2])), model.trainable_variables)
        assert (hidden.activation, output.activation) == (
            keras.activations.tanh,
            keras.activations.linear,
        )


@pytest.mark.parametrize("name", NEW)
def test_keras_2_in_hdf5(name):
    found = case(name)
    model = reopened(found.paths()["h5"])
    assert goes_on(found, model) < TOLERANCE.get(name, 1e-5)


@pytest.mark.parametrize(("kind", "name"), OTHER_FILES)
def test_keras_2_in_other_files(kind, name):
    found = case(name)
    model = reopened(found.paths()[kind])
    assert goes_on(found, model) < TOLERANCE.get(name, 1e-5)


@pytest.mark.parametrize("name", SEVERAL_LEGACY)
def test_legacy_optimizers_in_a_saved_model(name):
    found = case(name)
    model = reopened(found.paths()["saved_model"])
    assert goes_on(found, model) < TOLERANCE.get(name, 1e-5)


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_checkpoints(name):
    found = case(name)
    paths = found.paths()
    model = reopened(paths["h5"], paths["checkpoint"])
    assert goes_on(found, model) < TOLERANCE.get(name, 1e-5)


@pytest.mark.parametrize("name", OLD)
def test_older_keras(name):
    found = case(name)
    paths = found.paths()
    if name.startswith("keras-2.11"):
        pytest.skip("its .keras holds no state of a legacy optimizer")
    model = reopened(paths.get("h5", paths.get("keras")))
    assert goes_on(found, model) < 1e-5


@pytest.mark.parametrize("kind", ["name_checkpoint", "name_checkpoint_v1"])
@pytest.mark.parametrize("optimizer", ["adam", "rmsprop", "sgd"])
def test_checkpoints_of_tensorflow_1_by_name(optimizer, kind):
    found = case(f"tf-1.15.5/trained_{optimizer}")
    paths = found.paths()
    assert goes_on(found, reopened(paths["h5"], paths[kind])) < 1e-5


@pytest.mark.parametrize("name", RACED)
def test_older_keras_whose_gradients_read_what_was_updated(name):
    found = case(name)
    assert goes_on(found, reopened(found.paths()["h5"]), RACED[name]) < 1e-5


@pytest.mark.parametrize("name", sorted(NOT_EXPLAINED))
def test_slots_are_the_files(name):
    model = reopened(case(name).paths()["h5"])
    with h5py.File(case(name).paths()["h5"]) as file:
        group = file["optimizer_weights"]
        stored = [group[slot][()] for slot in group.attrs["weight_names"]]
    count = len(model.trainable_variables)
    slots = [array for array in stored if array.shape not in ((), (1,))]
    mine = [v.numpy() for v in model.optimizer.variables if v.shape]
    # One slot of all variables was listed, then the next; Keras 3 has all slots of a variable, and
    # the maxima of amsgrad in the end.
    paired = slots[: 2 * count] if len(slots) > count else slots
    expected = [paired[place] for k in range(count) for place in range(k, len(paired), count)]
    expected += slots[len(paired) :]
    assert len(mine) == len(expected)
    assert all(np.array_equal(a, b) for a, b in zip(mine, expected, strict=True))


@pytest.mark.parametrize("kind", ["lstm_cpu", "gru_cpu", "bidirectional_concat", "conv_lstm_tf"])
def test_slots_follow_arrays_into_another_form(kind, tmp_path):
    """Keras 1 kept twelve arrays of an LSTM: what rearranges them rearranges their slots."""
    source = case(f"keras-1.2.2-tensorflow/{kind}").paths()["h5"]
    path = tmp_path / "lstm.h5"
    path.write_bytes(source.read_bytes())
    with h5py.File(path, "r+") as file:
        weights = file["model_weights"]
        arrays = [
            weights[layer][name][()]
            for layer in weights.attrs["layer_names"]
            for name in weights[layer].attrs["weight_names"]
        ]
        file.pop("optimizer_weights", None)
        group = file.create_group("optimizer_weights")
        # Each slot holds the values of its variable, so it must end as its variable did.
        names = [f"param_{place}".encode() for place in range(1 + 2 * len(arrays))]
        group.attrs["weight_names"] = names
        for name, array in zip(names, [np.float32(3), *arrays, *arrays], strict=True):
            group[name] = array
        told = {
            "optimizer_config": {"class_name": "Adam", "config": {"lr": 0.01, "epsilon": 1e-8}},
            "loss": "mse",
            "metrics": [],
            "sample_weight_mode": None,
            "loss_weights": None,
        }
        file.attrs["training_config"] = json.dumps(told).encode()
    model = reopened(path)
    assert int(model.optimizer.iterations) == 3
    slots = model.optimizer.variables[2:]
    for place, variable in enumerate(model.trainable_variables):
        assert np.array_equal(slots[2 * place], variable)
        assert np.array_equal(slots[2 * place + 1], variable)


CUDNN = {
    "class_name": "Sequential",
    "config": {
        "name": "s",
        "layers": [
            {
                "class_name": "InputLayer",
                "config": {"batch_input_shape": [None, 5, 3], "name": "i"},
            },
            {"class_name": "CuDNNLSTM", "config": {"name": "lstm", "units": 3, "trainable": True}},
        ],
    },
}


def test_slots_that_cannot_be_rearranged_are_not_given(tmp_path):
    """Since 2.12 a group says a place and not whose it is, so none of its slots can be turned."""
    random = np.random.default_rng(2)
    arrays = [random.normal(size=shape).astype("f") for shape in ((3, 12), (3, 12), (24,))]
    training = {
        "optimizer": {
            "module": "keras.optimizers",
            "class_name": "Adam",
            "config": {"learning_rate": 0.1},
            "registered_name": None,
        },
        "loss": "mse",
    }
    made = io.BytesIO()
    with h5py.File(made, "w") as file:
        for place, array in enumerate(arrays):
            file[f"layers/cu_dnnlstm/vars/{place}"] = array
        slots = [slot for array in arrays for slot in (array, array)]
        for place, array in enumerate([np.int64(4), np.float32(0.1), *slots]):
            file[f"optimizer/vars/{place}"] = array
    path = tmp_path / "cudnn.keras"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("metadata.json", json.dumps({"keras_version": "2.15.0"}))
        packed.writestr("config.json", json.dumps({**CUDNN, "compile_config": training}))
        packed.writestr("model.weights.h5", made.getvalue())
    with pytest.warns(UserWarning, match="fresh Adam: the layer 'lstm' keeps its arrays in anothe"):
        model = holdfast.load_model(path)
    assert int(model.optimizer.iterations) == 0
    halves = arrays[2].reshape(2, -1).sum(axis=0)
    assert np.array_equal(model.layers[0].cell.bias, halves)


def test_slots_by_variable_of_what_has_another_form_now_are_not_given(tmp_path):
    """Of as many units as inputs the old kernel's slots have the new one's shape."""

    def entry(name: str, *shape: int) -> Entry:
        return Entry(name, shape, "float32", lambda: np.ones(shape, "f"))

    entries = (entry("k", 3, 12), entry("r", 3, 12), entry("b", 24))
    slots = {name: {"momentum": entry(f"{name}/m", 3, 12)} for name in ("k", "r")}
    file = ModelFile(
        path=tmp_path,
        format="saved_model",
        weights=ByLayer((LayerEntries("lstm", entries),)),
        keras_version="2.4.0",
        config=CUDNN,
    )
    built = build_model(file, None)
    with pytest.raises(Rearranged, match="the layer 'lstm' keeps its arrays in another form"):
        by_variable(built.model, file, State(iterations=entries[0], slots=slots), built.translation)


def make_h5(source: Path, target: Path, change: Any) -> Path:
    """A copy of a file, with its optimizer's arrays changed: a dict by their names, in order."""
    target.write_bytes(source.read_bytes())
    with h5py.File(target, "r+") as file:
        group = file["optimizer_weights"]
        arrays = {name: group[name][()] for name in group.attrs["weight_names"]}
        arrays = change({n.decode() if isinstance(n, bytes) else n: a for n, a in arrays.items()})
        del file["optimizer_weights"]
        group = file.create_group("optimizer_weights")
        group.attrs["weight_names"] = [name.encode() for name in arrays]
        for name, array in arrays.items():
            group[name] = array
    return target


@pytest.mark.parametrize("name", ["trained_adam", "trained_legacy_adam"])
def test_order_is_told_by_names(name, tmp_path):
    """The same slots in another order of the variables train the same."""

    def backwards(arrays):
        first, *names = arrays
        owners = dict.fromkeys(_owner(slot) for slot in names)
        by_slot: dict[str, list[str]] = {}
        for slot in names:
            by_slot.setdefault(_owner(slot), []).append(slot)
        if "legacy" in name:
            halves = [names[: len(names) // 2], names[len(names) // 2 :]]
            order = [slot for half in halves for slot in reversed(half)]
        else:
            order = [slot for owner in reversed(owners) for slot in by_slot[owner]]
        return {slot: arrays[slot] for slot in [first, *order]}

    found = case(name)
    path = make_h5(found.paths()["h5"], tmp_path / "backwards.h5", backwards)
    assert goes_on(found, reopened(path)) < 1e-5


def _owner(slot: str) -> str:
    parts = slot.split("/")
    kept = parts[-2:] if parts[1] in ("m", "v") else parts[1:-1]
    return "/".join(kept).partition(":")[0]


def test_slots_of_layers_frozen_later_are_left(tmp_path):
    found = case("trained_legacy_adam")

    def with_another(arrays):
        first, *names = arrays
        half = len(names) // 2
        more = {
            "Adam/frozen/kernel/m:0": np.ones((3, 3), "f"),
            "Adam/frozen/kernel/v:0": np.ones((3, 3), "f"),
        }
        order = [first, *names[:half], *list(more)[:1], *names[half:], *list(more)[1:]]
        return {name: (arrays | more)[name] for name in order}

    path = make_h5(found.paths()["h5"], tmp_path / "more.h5", with_another)
    assert goes_on(found, reopened(path)) < 1e-5


@pytest.mark.parametrize("name", ["trained_adam", "trained_legacy_adam"])
@pytest.mark.parametrize("harm", ["missing", "shape", "steps"])
def test_what_does_not_fit_is_left_whole(name, harm, tmp_path):
    def harmed(arrays):
        first, *names = arrays
        if harm == "missing":
            return {n: a for n, a in arrays.items() if n != names[0]}
        if harm == "shape":
            return arrays | {names[0]: np.zeros((7, 7), "f")}
        return arrays | {first: np.float32("nan")}

    path = make_h5(case(name).paths()["h5"], tmp_path / "harmed.h5", harmed)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with open_file(path) as file:
            built = build_model(file, None)
            bind.bind(built.model, file, translation=built.translation)
            assert compile_model(built.model, file, None)
            assert not restore_optimizer(built.model, file, built.translation)
    assert [str(w.message) for w in told if "fresh Adam" in str(w.message)]
    assert len([w for w in told if w.category is UserWarning]) == 1
    assert int(built.model.optimizer.iterations) == 0
    assert not any(np.any(v.numpy()) for v in built.model.optimizer.variables if v.shape)


def test_a_legacy_optimizer_in_a_keras_file_is_fresh_and_says_so():
    with pytest.warns(UserWarning, match="a legacy optimizer of Keras 2 writes none"):
        model = holdfast.load_model(case("trained_legacy_adam").paths()["keras"])
    assert model.compiled
    assert int(model.optimizer.iterations) == 0


def test_load_model_compiles_and_restores():
    found = case("trained_adam")
    model = holdfast.load_model(found.paths()["h5"])
    assert goes_on(found, model) < 1e-5
    assert not holdfast.load_model(found.paths()["h5"], compile=False).compiled


def test_logs_of_several_outputs_have_the_names_of_then():
    found = case("trained_several_losses")
    model = reopened(found.paths()["h5"])
    told = found.facts["optimizer"]
    with np.load(found.files / found.name / "io.npz") as stored:
        arrays = {name: stored[name] for name in stored.files}
    x, y = structure(arrays, "x", told["x"]), structure(arrays, "y", told["y"])
    logs = model.evaluate(x, y, return_dict=True, verbose=0)
    doubled = [f"{name}_{name}" for name in model.output_names]
    assert not [log for log in logs if log.startswith(tuple(doubled))]
    assert len(logs) > 3


def small(optimizer: Any, loss: Any = "mse", metrics: Any = ()) -> tuple[Any, Any, Any]:
    keras.utils.set_random_seed(3)
    layers = [keras.Input((4,)), keras.layers.Dense(3, "tanh"), keras.layers.Dense(2)]
    model = keras.Sequential(layers)
    model.compile(optimizer, loss, metrics=list(metrics))
    random = np.random.default_rng(1)
    return model, random.normal(size=(32, 4)), random.normal(size=(32, 2))


OPTIMIZERS = {
    "adam": lambda: keras.optimizers.Adam(0.01, amsgrad=True, use_ema=True),
    "scaled": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1, momentum=0.9)),
    "nadam": lambda: keras.optimizers.Nadam(
        keras.optimizers.schedules.ExponentialDecay(0.1, 3, 0.5)
    ),
    "slow nadam": lambda: SlowNadam(learning_rate=0.01),
    "lamb": lambda: keras.optimizers.Lamb(0.01),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_keras_3(name, ending, tmp_path):
    model, x, y = small(OPTIMIZERS[name]())
    train(model, x, y, 8, range(4))
    model.save(tmp_path / f"saved.{ending}")
    train(model, x, y, 8, range(4, 9))
    again = reopened(tmp_path / f"saved.{ending}")
    assert type(again.optimizer) is type(model.optimizer)
    train(again, x, y, 8, range(4, 9))
    for mine, expected in zip(again.weights, model.weights, strict=True):
        assert np.array_equal(mine, expected)


def halved(y_true, y_pred):
    return keras.ops.mean(keras.ops.square(y_true - y_pred), axis=-1) / 2


class Signed(keras.losses.Loss):
    def call(self, y_true, y_pred):
        return y_pred - y_true


@pytest.mark.parametrize("part", ["loss", "metrics", "class"])
@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_a_loss_or_metric_that_only_the_caller_has(part, ending, tmp_path):
    given = Signed() if part == "class" else halved
    model, x, y = small("adam", *(("mse", [given]) if part == "metrics" else (given,)))
    train(model, x, y, 8, range(2))
    path = tmp_path / f"own.{ending}"
    model.save(path)
    name = "Signed" if part == "class" else "halved"
    with pytest.warns(UserWarning, match=rf"not compiled.*custom_objects=\{{'{name}'") as told:
        left = holdfast.load_model(path)
    assert len([w for w in told if w.category is UserWarning]) == 1
    assert not left.compiled
    assert np.array_equal(left.predict(x, verbose=0), model.predict(x, verbose=0))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        again = holdfast.load_model(
            path, custom_objects={name: Signed if part == "class" else halved}
        )
    assert again.evaluate(x, y, verbose=0) == model.evaluate(x, y, verbose=0)
    assert int(again.optimizer.iterations) == 2


def test_a_lambda_as_loss_is_not_run(tmp_path):
    model, _, _ = small("adam", lambda y_true, y_pred: y_pred - y_true)
    model.save(tmp_path / "lambda.keras")
    with pytest.warns(UserWarning, match="not compiled"):
        assert not holdfast.load_model(tmp_path / "lambda.keras").compiled


# What the arguments of `compile` mean.


def told(optimizer: Any = None, **more: Any) -> dict[str, Any]:
    optimizer = optimizer or {"class_name": "SGD", "config": {"lr": 0.5}}
    return {"optimizer_config": optimizer, "loss": "mse", "metrics": [], **more}


def of_optimizer(kind: str, version: str, **config: Any) -> dict[str, Any]:
    arguments, problems = translate_training(
        told({"class_name": kind, "config": config}), version, []
    )
    assert not problems
    assert arguments is not None
    return arguments["optimizer"]


def test_a_decay_is_a_schedule():
    rate = of_optimizer("Adam", "2.2.4", lr=0.5, decay=0.25)["config"]["learning_rate"]
    schedule = keras.optimizers.schedules.deserialize(rate)
    assert [float(schedule(step)) for step in (0, 4, 12)] == pytest.approx([0.5, 0.25, 0.125])


@pytest.mark.parametrize(
    ("version", "key"),
    [
        ("1.2.2", "global_clipnorm"),
        ("2.3.1", "global_clipnorm"),
        ("2.2.4-tf", "clipnorm"),
        ("2.10.0", "clipnorm"),
    ],
)
def test_clipnorm_was_of_all_gradients_outside_tensorflow(version, key):
    config = of_optimizer("SGD", version, lr=0.5, clipnorm=2)["config"]
    assert config[key] == 2.0
    assert len([name for name in config if "clip" in name]) == 1


def test_epsilon_beside_the_root_and_below_it():
    outside = of_optimizer("RMSprop", "2.10.0", learning_rate=0.5, epsilon=1e-4)["config"]
    assert outside["epsilon"] == pytest.approx(1e-8)
    with_momentum = {"learning_rate": 0.5, "epsilon": 1e-4, "momentum": 0.5}
    assert of_optimizer("RMSprop", "2.10.0", **with_momentum)["config"]["epsilon"] == 1e-4
    newer = {"learning_rate": 0.5, "epsilon": 1e-4, "is_legacy_optimizer": False}
    assert of_optimizer("RMSprop", "2.15.0", **newer)["config"]["epsilon"] == 1e-4


def test_accumulators_began_at_nothing_outside_tensorflow():
    config = of_optimizer("Adagrad", "2.2.4", lr=0.5)["config"]
    assert config["initial_accumulator_value"] == 0
    assert "initial_accumulator_value" not in of_optimizer("Adagrad", "2.10.0", lr=0.5)["config"]


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        ({"class_name": "SGD", "config": {"lr": 1, "clipnorm": 1, "clipvalue": 1}}, "one of them"),
        (
            {
                "class_name": "SGD",
                "config": {
                    "decay": 0.1,
                    "learning_rate": {"class_name": "ExponentialDecay", "config": {}},
                },
            },
            "both a schedule and a decay",
        ),
        ({"class_name": "TFOptimizer", "config": {}}, "no optimizer 'TFOptimizer'"),
        ({"class_name": "SGD", "config": {"lr": "fast"}}, "should be a number, found 'fast'"),
        ({"class_name": "SGD", "config": {"lr": float("nan")}}, "should be a number"),
        ({"class_name": "SGD", "config": {"lr": 10**400}}, "should be a number"),
        (
            {
                "class_name": "LossScaleOptimizer",
                "config": {"optimizer": {"class_name": "SGD", "config": 5}},
            },
            "what it scales the loss for is",
        ),
        (
            {"class_name": "SGD", "config": {"lr": {"class_name": "os.system", "config": {}}}},
            "no schedule 'os.system'",
        ),
    ],
)
def test_optimizers_that_keras_3_cannot_be(optimizer, message):
    arguments, problems = translate_training(told(optimizer), "2.10.0", [])
    assert arguments is None
    assert message in problems[0].what


@pytest.mark.parametrize(
    ("loss", "kind", "config"),
    [
        ("categorical_crossentropy", "CategoricalCrossentropy", {}),
        ("KLD", "KLDivergence", {}),
        ("logcosh", "LogCosh", {}),
        (
            {
                "class_name": "BinaryCrossentropy",
                "config": {"reduction": "auto", "name": "b", "from_logits": True, "fn": "x"},
            },
            "BinaryCrossentropy",
            {"reduction": "sum_over_batch_size", "from_logits": True, "name": "b"},
        ),
        (
            {"class_name": "LogCosh", "config": {"reduction": "NONE"}},
            "LogCosh",
            {"reduction": "none"},
        ),
    ],
)
def test_losses(loss, kind, config):
    arguments, problems = translate_training(told(loss={"a": loss, "b": None}), "2.15.0", [])
    assert not problems
    assert arguments["loss"]["b"] is None
    found = arguments["loss"]["a"]
    assert (found["module"], found["class_name"]) == ("keras.losses", kind)
    assert config.items() <= found["config"].items()
    assert isinstance(keras.saving.deserialize_keras_object(found), keras.losses.Loss)


@pytest.mark.parametrize(
    ("metric", "kind", "name"),
    [
        ("mse", "MeanSquaredError", "mse"),
        (
            {
                "class_name": "MeanMetricWrapper",
                "config": {"name": "acc", "dtype": "float32", "fn": "binary_accuracy"},
            },
            "BinaryAccuracy",
            "acc",
        ),
        ({"class_name": "AUC", "config": {"name": "auc_1", "num_thresholds": 7}}, "AUC", "auc_1"),
    ],
)
def test_metrics(metric, kind, name):
    arguments, problems = translate_training(told(metrics=[[metric, "acc"]]), "2.15.0", [])
    assert not problems
    [[found, by_shape]] = arguments["metrics"]
    assert by_shape == "acc"
    made = keras.saving.deserialize_keras_object(found)
    assert (type(made).__name__, made.name) == (kind, name)


@pytest.mark.parametrize(
    ("more", "version", "message"),
    [
        ({"loss": "mine"}, "2.15.0", "custom_objects={'mine': mine}"),
        ({"metrics": ["mine"]}, "2.2.4", "custom_objects={'mine': mine}"),
        ({"loss": "cosine_proximity"}, "2.2.4", "was divided by the number of elements"),
        (
            {"loss": {"class_name": "Huber", "config": {"slope": 2}}},
            "2.15.0",
            "no argument 'slope'",
        ),
        ({"loss": {"class_name": "__lambda__", "config": {}}}, "2.15.0", "never runs"),
        ({"loss": 7}, "2.15.0", "found 7"),
        ({"loss_weights": ["x"]}, "2.15.0", "expected a number, found 'x'"),
        ({"loss_weights": 10**400}, "2.15.0", "expected a number"),
        (
            {"metrics": [{"class_name": "MeanMetricWrapper", "config": {"fn": {"class_name": 1}}}]},
            "2.15.0",
            "name of a function",
        ),
    ],
)
def test_losses_and_metrics_that_keras_3_does_not_have(more, version, message):
    arguments, problems = translate_training(told(**more), version, [])
    assert arguments is None
    assert len(problems) == 1
    assert message in problems[0].what


def test_slow_nadam_is_the_formula():
    """As Keras 2.10 wrote it, in numpy."""
    optimizer = SlowNadam(learning_rate=0.02, schedule_decay=0.3)
    variable = keras.Variable(np.array([1.0, -2.0], "f"))
    optimizer.build([variable])
    w, m, v, product = variable.numpy().astype(float), np.zeros(2), np.zeros(2), 1.0
    for step in range(1, 6):
        g = np.array([0.3, -0.1]) * step
        optimizer.apply([keras.ops.convert_to_tensor(g.astype("f"))], [variable])
        now = 0.9 * (1 - 0.5 * 0.96 ** (0.3 * step))
        then = 0.9 * (1 - 0.5 * 0.96 ** (0.3 * (step + 1)))
        product *= now
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        ahead = (1 - now) * g / (1 - product) + then * m / (1 - product * then)
        w -= 0.02 * ahead / (np.sqrt(v / (1 - 0.999**step)) + 1e-7)
    assert variable.numpy() == pytest.approx(w, rel=1e-5)
