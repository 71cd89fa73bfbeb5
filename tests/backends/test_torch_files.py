"""Files of models that wrap PyTorch's modules: of the moment they were due, and of no later one."""

import base64
import io
import json
import zipfile

import h5py
import keras
import numpy as np
import pytest

torch = pytest.importorskip("torch")
if keras.config.backend() != "torch":
    pytest.skip("Keras runs on another backend", allow_module_level=True)

import holdfast
from holdfast import errors
from holdfast.callbacks.model_files import Image
from holdfast.state import buffers, variables
from holdfast.testing import restart_at_every_step

L = keras.layers


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Of small arrays more threads than free processors are many times slower."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Last(torch.nn.Module):
    """The last output of an LSTM, which has its parameters a second time in a list."""

    def __init__(self):
        super().__init__()
        self.recurrent = torch.nn.LSTM(1, 5, batch_first=True)

    def forward(self, x):
        return self.recurrent(x[:, :, None])[0][:, -1]


class Own(L.TorchModuleWrapper):
    """A layer of the program's own, with its own way of saving."""

    def save_own_variables(self, store):
        for name, value in self.module.state_dict().items():
            store[name] = value.cpu().numpy()


def wrapping():
    """A functional model, whose configuration has the modules in it."""
    inputs = keras.Input((6,))
    normal = torch.nn.Sequential(
        torch.nn.Linear(6, 4), torch.nn.BatchNorm1d(4), torch.nn.Dropout(0.2)
    )
    x = L.TorchModuleWrapper(normal, output_shape=(None, 4))(inputs)
    x = L.BatchNormalization()(x)
    x = Own(torch.nn.BatchNorm1d(4), output_shape=(None, 4))(x)
    x = L.TorchModuleWrapper(Last(), output_shape=(None, 5))(x)
    model = keras.Model(inputs, L.Dense(3)(x))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.05), loss, metrics=["accuracy"])
    return model


def samples(count=12, seed=3):
    random = np.random.default_rng(seed)
    y = random.integers(0, 3, count)
    return (random.normal(size=(count, 6)) + y[:, None]).astype("float32"), y


def everything(model):
    """Copies of all values: variables, buffers, the optimizer's."""
    found = [variable for group in variables.groups(model)[:3] for variable in group]
    assert any(isinstance(live, buffers.Buffer) for live in found)
    return [np.array(keras.ops.convert_to_numpy(live.value)) for live in found]


def same(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def opened(path):
    """A model out of a `.keras` file, by Keras itself."""
    return keras.saving.load_model(path, custom_objects={"Own": Own}, safe_mode=False)


def modules_within(path):
    """The values of the modules that are pickled in a file's configuration."""
    with zipfile.ZipFile(path) as file:
        config = json.loads(file.read("config.json"))
    found = []
    for layer in config["config"]["layers"]:
        if "module" in layer["config"] and isinstance(layer["config"]["module"], str):
            pickled = io.BytesIO(base64.b64decode(layer["config"]["module"]))
            module = torch.load(pickled, weights_only=False)
            found.extend(value.numpy() for value in module.state_dict().values())
            if isinstance(module, Last):
                lists = zip(module.recurrent._flat_weights, module.parameters(), strict=True)
                assert all(one is other for one, other in lists)
    assert found
    return found


def arrays_within(path):
    """The arrays of a `.keras` or a `.weights.h5` file, by their names."""
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as file:
            path = io.BytesIO(file.read("model.weights.h5"))
    found = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, part: isinstance(part, h5py.Dataset) and found.update({name: part[()]})
        )
    return found


@pytest.mark.parametrize("way", ["of", "from_arrays"])
def test_a_file_is_of_the_moment_it_was_due(way, memory):
    """Steps that are taken before it is written are not in it, and see nothing of it."""
    keras.utils.set_random_seed(1)
    model = wrapping()
    x, y = samples()
    model.fit(x, y, batch_size=4, epochs=1, verbose=0)
    model.save(memory / "then.keras")
    then, arrays = everything(model), {}
    if way == "from_arrays":
        found = [live for group in variables.groups(model) for live in group]
        copies = [np.array(keras.ops.convert_to_numpy(live.value)) for live in found]
        arrays = dict(zip([name for name, _ in variables.names(model)], copies, strict=True))
        model.fit(x, y, batch_size=4, epochs=1, verbose=0)
        image = Image.from_arrays(model, arrays)
    else:
        image = Image.of(model)
    model.fit(x, y, batch_size=4, epochs=1, verbose=0)
    now = everything(model)
    image.write(memory / "image.keras", weights_only=False)
    image.write(memory / "image.weights.h5", weights_only=True)
    same(everything(model), now)
    same(everything(opened(memory / "image.keras")), then)
    same(modules_within(memory / "image.keras"), modules_within(memory / "then.keras"))
    for load in (keras.Model.load_weights, holdfast.load_weights):
        other = wrapping()
        load(other, memory / "image.weights.h5")
        count = len(everything(model)) - len(model.optimizer.variables)
        same(everything(other)[:count], then[:count])
    model.save(memory / "now.keras")
    same(everything(opened(memory / "now.keras")), now)


def test_weights_of_a_module_that_cannot_be_pickled(memory):
    module = torch.nn.BatchNorm1d(6)
    module.made_by = lambda: None
    model = keras.Sequential([keras.Input((6,)), L.TorchModuleWrapper(module), L.Dense(3)])
    image = Image.of(model)
    module.running_mean += 1.0
    image.write(memory / "image.weights.h5", weights_only=True)
    model.load_weights(memory / "image.weights.h5")
    assert module.running_mean.tolist() == [0.0] * 6


def test_files_and_best_weights_outlive_restarts(memory):
    """Whatever step a run was stopped after, where each epoch has a batch that spoils it."""
    x, y = samples(8)
    x[4:] = np.nan
    folder, folders, rollbacks = memory / "files", [], []

    def make(seed):
        if seed == 0 and folder.exists():
            folders.append(folder.rename(memory / f"files-{len(folders)}"))
        keras.utils.set_random_seed(seed)
        rollbacks.append(holdfast.Rollback(verbose=0))
        return {
            "model": wrapping(),
            "x": x,
            "y": y,
            "batch_size": 4,
            "epochs": 3,
            "shuffle": False,
            "validation_data": samples(4, 4),
            "callbacks": [
                holdfast.ModelCheckpoint(folder / "best.keras", save_best_only=True),
                holdfast.ModelCheckpoint(folder / "{epoch}.weights.h5", save_weights_only=True),
                holdfast.EarlyStopping(patience=1, restore_best_weights=True),
                rollbacks[-1],
            ],
            "verbose": 0,
        }

    assert restart_at_every_step(make, memory).moments >= 6
    assert rollbacks[0].rollbacks >= 2
    assert all(np.isfinite(value).all() for value in everything(opened(folder / "best.keras")))
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["1.weights.h5", "2.weights.h5", "best.keras"]
    for other in folders:
        assert sorted(path.name for path in other.iterdir()) == names
        for name in names:
            found, expected = arrays_within(other / name), arrays_within(folder / name)
            assert list(found) == list(expected)
            same(list(found.values()), list(expected.values()))


@pytest.mark.parametrize("name", ["h5", "safetensors", "ckpt", "weights"])
def test_what_would_lose_buffers_is_refused(name, memory):
    """With words, before the first step; what was there stands."""
    model = wrapping()
    weights_only = name in ("ckpt", "weights")
    path = memory / ("w.h5" if name == "weights" else f"m.{name}")
    path.write_bytes(b"what was there")
    write = holdfast.save_weights if weights_only else holdfast.save_model
    with pytest.raises(errors.FormatError, match=r"6 buffers of PyTorch.*running_mean.*'.keras'"):
        write(model, path)
    keep = holdfast.ModelCheckpoint(path, "loss", save_weights_only=weights_only)
    run = holdfast.Run(memory / "run")
    with pytest.raises(errors.PlanError, match=r"6 buffers of PyTorch.*'.weights.h5'"):
        run.fit(model, *samples(4), callbacks=[keep], verbose=0)
    assert path.read_bytes() == b"what was there"
    assert run.position.total == 0


class Counts(torch.nn.BatchNorm1d):
    """Has state that is no tensor."""

    def get_extra_state(self):
        return {"seen": 3}

    def set_extra_state(self, state):
        pass


def test_files_that_cannot_be_written_are_refused_before_the_first_step(memory):
    unpickled = torch.nn.Identity()
    unpickled.made_by = lambda: None
    for module, words in (
        (Counts(6), "Counts, whose state.*_extra_state"),
        (unpickled, r"Identity.*weights\.h5"),
    ):
        model = keras.Sequential([keras.Input((6,)), L.TorchModuleWrapper(module), L.Dense(3)])
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        run = holdfast.Run(memory / type(module).__name__)
        keep = holdfast.ModelCheckpoint(memory / "best.keras", "loss")
        with pytest.raises(errors.PlanError, match=words):
            run.fit(model, *samples(4), callbacks=[keep], verbose=0)
        assert run.position.total == 0


def test_weights_of_a_run_with_modules(memory):
    """Buffers among them, into a model that the program builds."""
    keras.utils.set_random_seed(1)
    model = wrapping()
    holdfast.Run(memory / "run").fit(model, *samples(), batch_size=4, epochs=1, verbose=0)
    holdfast.save_model(model, memory / "saved", "run")
    count = len(everything(model)) - len(model.optimizer.variables)
    for name in ("run", "saved"):
        other = wrapping()
        holdfast.load_weights(other, memory / name)
        same(everything(other)[:count], everything(model)[:count])
        with pytest.raises(errors.HoldfastError, match=r"[Bb]uild the model"):
            holdfast.load_model(memory / name)
