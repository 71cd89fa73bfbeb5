"""Imports of older programs: modules and names that are gone, and TensorFlow that is not there."""

import importlib.machinery
import importlib.util
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from holdfast.compat import imports, old, old_members, old_modules, tensorflow, tensorflow_names
from holdfast.compat.gone import GONE, OF, WITHIN
from holdfast.compat.patches import Patches
from holdfast.errors import MissingExtraError

without_tensorflow = pytest.mark.skipif(
    tensorflow.is_installed(), reason="TensorFlow is here, and answers for itself"
)


@pytest.fixture(autouse=True)
def _old_imports():
    changed = (keras.layers, keras.utils, keras.optimizers.legacy)
    before = (set(sys.modules), list(sys.meta_path), [{**vars(module)} for module in changed])
    patches = Patches()
    old.begin(quiet=False)
    imports.install(patches, lambda: None)
    yield
    patches.undo()
    old.begin(quiet=True)
    added = {name for name in set(sys.modules) - before[0] if name.split(".")[0] != "holdfast"}
    assert not {name for name in added if name.split(".")[0] in ("keras", "tensorflow")}
    assert sys.meta_path == before[1]
    assert [vars(module) for module in changed] == before[2]


def run(program, file="train.py", name="__main__"):
    """Run lines as a program does, and return its names."""
    names = {"__name__": name}
    exec(compile(program, file, "exec"), names)
    return names


def refused(program):
    """Run lines that fail, and return the kind of error and what it says."""
    with pytest.raises((ImportError, AttributeError)) as caught:
        run(program)
    return type(caught.value).__name__, str(caught.value)


def test_a_module_that_is_gone_has_the_classes_of_today():
    names = run(
        "from keras.utils import np_utils\n"
        "from keras.utils.np_utils import to_categorical\n"
        "import keras.layers.core as core\n"
        "from keras.layers.core import Dense, Dropout\n"
        "from keras.layers.convolutional.conv2d import Conv2D\n"
        "from keras.engine.topology import Layer, Input, Container\n"
        "from keras.layers.experimental import preprocessing\n"
        "import keras\n"
        "normalization = keras.layers.normalization.BatchNormalization\n"
    )
    assert names["np_utils"].to_categorical is names["to_categorical"] is keras.utils.to_categorical
    assert names["core"].Flatten is keras.layers.Flatten
    assert names["Dense"] is keras.layers.Dense
    assert names["Conv2D"] is keras.layers.Conv2D
    assert (names["Layer"], names["Input"]) == (keras.layers.Layer, keras.Input)
    assert names["Container"] is keras.Model
    assert names["preprocessing"].Rescaling is keras.layers.Rescaling
    assert names["normalization"] is keras.layers.BatchNormalization


def test_a_star_brings_what_the_old_module_had_and_nothing_else():
    names = run("from keras.layers.noise import *")
    found = sorted(name for name in names if not name.startswith("_"))
    assert found == ["AlphaDropout", "GaussianDropout", "GaussianNoise"]
    assert run("from keras.layers.rnn import *")["LSTM"] is keras.layers.LSTM


def test_each_module_in_the_table_is_gone_and_each_name_is_found():
    for name in [*GONE, *WITHIN]:
        if not name.startswith("keras.optimizers.legacy"):
            real = sys.modules[name.rpartition(".")[0]] if _is_real(name) else None
            assert real is None or _finds_nothing(name, real), name
        module = imports.import_module(name)
        row = GONE.get(name)
        if row is not None and name != "keras.wrappers.scikit_learn":
            assert all(getattr(module, each) is not None for each in row.names.split()), name


def _is_real(name):
    parent = name.rpartition(".")[0]
    return parent in sys.modules and not isinstance(sys.modules[parent], old_modules.OldModule)


def _finds_nothing(name, parent):
    return importlib.machinery.PathFinder.find_spec(name, parent.__path__) is None


def test_each_class_and_function_in_the_table_is_gone_and_found():
    for path in [*old_members.MOVED, *old_members._CALLED]:
        module, _, name = path.rpartition(".")
        assert name not in vars(sys.modules.get(module, keras)), path
        assert getattr(imports.import_module(module), name) is not None
    for path in old_members._REFUSED:
        module, _, name = path.rpartition(".")
        assert "nothing stands in for it; today:" in refused(f"from {module} import {name}")[1]


def test_optimizers_that_keras_only_keeps_to_refuse_them_are_todays():
    before = keras.optimizers.legacy
    names = run("from keras.optimizers.legacy import Adam, SGD")
    assert (names["Adam"], names["SGD"]) == (keras.optimizers.Adam, keras.optimizers.SGD)
    assert before.Nadam is keras.optimizers.Nadam


def test_what_keras_has_for_tensorflows_sake_is_there():
    names = run(
        "from keras.preprocessing.text import Tokenizer\n"
        "from keras.preprocessing.image import ImageDataGenerator\n"
        "from keras.preprocessing import sequence\n"
        "from keras.losses import mse\n"
        "from keras.initializers import normal\n"
        "words = Tokenizer(num_words=3)\n"
        "words.fit_on_texts(['to be or not to be'])\n"
        "padded = sequence.pad_sequences(words.texts_to_sequences(['be to']), maxlen=3)\n"
        "window = sequence.TimeseriesGenerator([1, 2, 3], [1, 2, 3], length=2)[0][1]\n"
    )
    assert names["padded"].tolist() == [[0, 2, 1]]
    assert names["window"].tolist() == [3]
    assert names["mse"] is keras.losses.mean_squared_error
    assert names["normal"] is keras.initializers.RandomNormal
    images = names["ImageDataGenerator"](horizontal_flip=True).flow(np.zeros((4, 8, 8, 3)))
    assert next(images).shape == (4, 8, 8, 3)


def test_each_is_said_once_with_its_line(capsys):
    run(
        "\n"
        "from keras.utils import np_utils\n"
        "from keras.utils.np_utils import to_categorical\n"
        "from keras.layers.experimental import preprocessing\n"
        "np_utils.to_categorical([1])\n"
    )
    assert capsys.readouterr().err.splitlines() == [
        "holdfast: train.py:2: keras.utils.np_utils is gone since Keras 2.13; today: keras.utils",
        "holdfast: train.py:4: keras.layers.experimental.preprocessing is gone since Keras 3.0; "
        "today: keras.layers",
    ]
    old.begin(quiet=True)
    run("from keras.layers.core import Dense")
    assert capsys.readouterr().err == ""


def test_every_row_says_what_is_gone_since_when_and_what_is_written_today():
    for row in (*OF.values(), *old_members.ROWS, *tensorflow.ROWS, *tensorflow_names.ROWS):
        assert row.gone.startswith(("Keras ", "TensorFlow "))
        assert all((row.spelling, row.today, row.does))


@pytest.mark.parametrize(
    ("program", "kind", "said"),
    [
        (
            "from keras.callback import EarlyStopping",
            "ModuleNotFoundError",
            "keras has no module 'callback' (did you mean 'callbacks'?)",
        ),
        (
            "from keras.utils.np_util import to_categorical",
            "ModuleNotFoundError",
            "keras.utils has no module 'np_util' (did you mean 'np_utils'?)",
        ),
        (
            "from keras.layers import Dens",
            "ImportError",
            "keras.layers has no 'Dens' (did you mean 'Dense'?)",
        ),
        (
            "import keras; keras.callbacks.EarlyStoping",
            "AttributeError",
            "keras.callbacks has no 'EarlyStoping' (did you mean 'EarlyStopping'?)",
        ),
        (
            "from keras.layers import Adam",
            "ImportError",
            "keras.layers has no 'Adam'; keras.optimizers has it",
        ),
        (
            "from keras.layers.core import Dens",
            "ImportError",
            "keras.layers.core has no 'Dens' (did you mean 'Dense'?); what it had is in "
            "keras.layers today",
        ),
        (
            "from keras.utils import multi_gpu_model",
            "ImportError",
            "keras.utils.multi_gpu_model is gone since Keras 2.6, and nothing stands in for it; "
            "today: keras.distribution.set_distribution(keras.distribution.DataParallel())",
        ),
        ("import keras.nothing_of_the_kind", "ModuleNotFoundError", "No module named"),
    ],
)
def test_what_is_misspelt_is_told_the_nearest(program, kind, said):
    found, message = refused(program)
    assert found == kind
    assert message.startswith(said)


def test_looking_for_what_is_not_there_stays_possible():
    assert not hasattr(keras.layers, "Dens")
    assert not hasattr(keras, "__wrapped__")
    assert importlib.util.find_spec("keras.callback") is None


def test_an_old_module_gives_way_to_what_had_its_name():
    def function(*arguments):
        return arguments

    keras.layers.merge = function
    try:
        names = run("from keras.layers.merge import add\nfrom keras.layers import merge")
        assert names["add"] is keras.layers.add
        assert names["merge"]([1], "sum") == ([1], "sum")
    finally:
        del keras.layers.merge


def test_the_wrapper_for_scikit_learn_names_what_it_needs():
    if importlib.util.find_spec("scikeras") is not None:
        pytest.skip("it is here")
    with pytest.raises(MissingExtraError, match=r'needs scikeras.*pip install "holdfast\[scikeras'):
        run("from keras.wrappers.scikit_learn import KerasClassifier")


def test_the_wrapper_for_scikit_learn_gives_its_function_what_it_asks_for():
    pytest.importorskip("scikeras")
    search = pytest.importorskip("sklearn.model_selection").GridSearchCV
    made = run("from keras.wrappers.scikit_learn import KerasClassifier")["KerasClassifier"]
    asked = []

    def build(units=1, optimizer="adam"):
        asked.append((units, optimizer))
        dense = keras.layers.Dense(units, "relu"), keras.layers.Dense(1, "sigmoid")
        model = keras.Sequential([keras.Input((2,)), *dense])
        model.compile(optimizer, "binary_crossentropy", metrics=["accuracy"])
        return model

    x = np.random.default_rng(0).normal(size=(20, 2)).astype("float32")
    y = (x[:, 0] > 0).astype(int)
    classifier = made(build_fn=build, nb_epoch=2, verbose=0)
    assert len(classifier.fit(x, y).history["loss"]) == 2
    assert classifier.predict(x).shape == (20,)
    assert asked == [(1, "adam")]
    found = search(made(build, epochs=1, verbose=0), {"units": [3], "optimizer": ["sgd"]}, cv=2)
    found.fit(x, y)
    assert set(asked[1:]) == {(3, "sgd")}


@without_tensorflow
def test_tensorflows_keras_is_keras():
    names = run(
        "import tensorflow as tf\n"
        "import tensorflow.keras.layers as L\n"
        "from tensorflow import keras\n"
        "from tensorflow.keras.models import Sequential\n"
        "from tensorflow.keras.utils.np_utils import to_categorical\n"
        "from tensorflow.python.keras.layers import Dense\n"
        "import tensorflow.compat.v1 as tf1\n"
        "import tensorflow.compat.v1.keras.backend as K\n"
        "from tensorflow.contrib.keras import layers as contributed\n"
    )
    assert names["tf"].keras is names["keras"] is names["tf1"].keras is keras
    assert names["tf"].keras.__version__ == keras.__version__
    assert names["L"] is names["contributed"] is keras.layers
    assert names["Sequential"] is keras.Sequential
    assert names["to_categorical"] is keras.utils.to_categorical
    assert names["Dense"] is keras.layers.Dense
    assert names["K"] is keras.backend
    assert keras.layers.__spec__.name == keras.layers.__name__ == "keras.layers"


@without_tensorflow
def test_what_else_of_tensorflow_is_used_is_told_at_its_line():
    own = "is TensorFlow's own, and TensorFlow is not installed; only tf.keras stands in without it"
    install = "Install TensorFlow: pip install tensorflow-cpu"
    for program, kind, said in [
        ("import tensorflow as tf\n\ntf.data", "AttributeError", f"train.py:3: tf.data {own}. "),
        ("from tensorflow import data", "ImportError", f"train.py:1: tf.data {own}. "),
        ("import tensorflow.io.gfile", "ModuleNotFoundError", f"train.py:1: tf.io {own}. "),
        (
            "import tensorflow as tf\ntf.reduce_mean([1])",
            "AttributeError",
            f"train.py:2: tf.reduce_mean {own}. Keras has keras.ops.mean. ",
        ),
        (
            "import tensorflow as tf\ntf.kears",
            "AttributeError",
            f"train.py:2: tf.kears {own} (did you mean 'keras'?). ",
        ),
    ]:
        assert refused(program) == (kind, said + install)
    assert refused("from tensorflow.keras.callback import EarlyStopping") == (
        "ModuleNotFoundError",
        "tensorflow.keras has no module 'callback' (did you mean 'callbacks'?)",
    )
    assert refused("from tensorflow.keras import callback")[1] == (
        "keras has no 'callback' (did you mean 'callbacks'?)"
    )
    assert not hasattr(run("import tensorflow as tf")["tf"], "data")


@without_tensorflow
def test_what_of_tensorflow_has_an_honest_answer_is_there(tmp_path):
    tf = run("import tensorflow as tf")["tf"]
    assert tf.losses.MeanSquaredError is keras.losses.MeanSquaredError
    assert tf.train.latest_checkpoint(str(tmp_path)) is None
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "cp-\\"2.ckpt"\n')
    assert tf.train.latest_checkpoint(str(tmp_path)) is None
    (tmp_path / 'cp-"2.ckpt.index').touch()
    assert tf.train.latest_checkpoint(str(tmp_path)) == str(tmp_path / 'cp-"2.ckpt')
    assert tf.__version__.startswith("2.16.0")
    assert tf.nn.relu is keras.activations.relu
    assert tf.executing_eagerly()
    devices = tf.config.list_physical_devices()
    assert devices[0] == ("/physical_device:CPU:0", "CPU")
    gpus = tf.config.experimental.list_physical_devices("GPU")
    assert gpus == devices[1:]
    assert len(gpus) == sum(name[:3] != "cpu" for name in keras.distribution.list_devices())
    assert tf.test.is_gpu_available() == bool(gpus)
    tf.compat.v1.logging.set_verbosity(tf.compat.v1.logging.ERROR)
    assert tf.get_logger().level == 40


@without_tensorflow
def test_a_seed_decides_what_keras_draws_and_leaves_numpys_random_state():
    tf = run("import tensorflow as tf")["tf"]
    python, numpy = random.getstate(), np.random.get_state()
    try:
        drawn = []
        for seed in (1, 1, 2):
            np.random.seed(7)
            tf.random.set_seed(seed)
            layer = keras.layers.Dense(3)
            layer.build((2, 2))
            drawn.append((np.asarray(layer.kernel).tolist(), float(keras.random.uniform(()))))
            assert np.random.rand() == np.random.RandomState(7).rand()
        assert drawn[0] == drawn[1] != drawn[2]
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


@without_tensorflow
def test_a_library_is_told_that_there_is_no_tensorflow():
    with pytest.raises(ModuleNotFoundError, match="No module named 'tensorflow'"):
        run("import tensorflow", "lib/site-packages/library.py", "library")
    assert run("import tensorflow", "lib/site-packages/program/__main__.py")["tensorflow"]


PROGRAM = """
import json, pickle, sys
from holdfast.compat import imports, old
from holdfast.compat.patches import Patches

patches, called = Patches(), []

def on_keras():
    called.append([sys.modules["keras"].Sequential.__name__, sys.modules["keras"].__spec__.loader])

imports.install(patches, on_keras)
early = len(called)
import library
first = library.has_tensorflow()
import tensorflow as tf
import keras, inspect
assert inspect.getsource(keras) and type(called[0][1]).__name__ == "SourceFileLoader"
assert keras.__loader__ is keras.__spec__.loader
import numpy as np
model = tf.keras.Sequential([
    tf.keras.Input((4,)), tf.keras.layers.Normalization(),
    tf.keras.layers.Dense(2, activation=tf.nn.relu),
])
model.save("model.keras")
again = tf.keras.models.load_model("model.keras")
assert pickle.loads(pickle.dumps(tf.keras.layers.Dense)) is keras.layers.Dense
from tensorflow.keras.utils import np_utils
from keras.src.utils.module_utils import tensorflow as looked_for
patches.undo()
left = [name for name in sys.modules if name.startswith("tensorflow") or "np_utils" in name]
print(json.dumps({
    "early": early, "called": len(called), "first": first, "keras": looked_for.available,
    "same": bool(np.array_equal(again(np.ones((1, 4))), model(np.ones((1, 4))))),
    "left": left, "utils": "np_utils" in vars(keras.utils),
}))
"""

LIBRARY = """
def has_tensorflow():
    try:
        import tensorflow
    except ImportError:
        return False
    return True
"""


@without_tensorflow
def test_it_begins_with_the_import_of_keras_and_libraries_see_no_tensorflow(tmp_path):
    installed = tmp_path / "site-packages"
    installed.mkdir()
    (installed / "library.py").write_text(LIBRARY)
    (tmp_path / "train.py").write_text(PROGRAM)
    path = os.pathsep.join([str(installed), str(Path(old.__file__).parents[2])])
    done = subprocess.run(
        [sys.executable, "train.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path, "KERAS_BACKEND": keras.backend.backend()},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "early": 0,
        "called": 1,
        "first": False,
        "keras": False,
        "same": True,
        "left": [],
        "utils": False,
    }
