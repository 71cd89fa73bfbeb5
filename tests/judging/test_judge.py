"""Judging: every runtime gives what Keras gives, and says what it was given wrongly."""

import concurrent.futures
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import jax
import keras
import numpy as np
import pytest
from jax import export

import holdfast
import holdfast.judge
from holdfast.errors import (
    DamagedError,
    FormatError,
    InputError,
    NewerFormatError,
    NotThereError,
    RunError,
)
from holdfast.judge import carried, of_run
from holdfast.judge.about import About, Layer, from_json, to_json
from holdfast.judge.judge import Judge
from holdfast.judge.keras_model import KerasModel

CLASSES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

EXAMPLES = Path(__file__).parents[2] / "examples"
FULL = About(
    "digits",
    ("ja", "nein"),
    {"image": "Grauwerte"},
    {"id": "00ff", "epoch": 3},
    {"loss": 0.25},
    (Layer("dense", "Dense", "(None, 2)", 10),),
    {"loss": [0.5, 0.25]},
    {"quantized": None},
)


@pytest.fixture(scope="module")
def digits_stablehlo(tmp_path_factory, digits_run):
    """The digits as jax.export writes them, with nothing said of them."""
    model = holdfast.Run(digits_run).load_model("best")
    states = [[v.value for v in model.trainable_variables], []]

    def forward(image):
        return model.stateless_call(*states, image, training=False)[0]

    (batch,) = export.symbolic_shape("batch")
    program = export.export(jax.jit(forward))(jax.ShapeDtypeStruct((batch, 8, 8, 1), "float32"))
    path = tmp_path_factory.mktemp("hlo") / "digits.stablehlo"
    path.write_bytes(program.serialize())
    return path


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """Files that TensorFlow writes in ways that Holdfast's exports do not, from one process."""
    folder = tmp_path_factory.mktemp("others")
    env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    subprocess.run([sys.executable, "-c", OTHERS, folder], check=True, env=env, timeout=120)
    return folder


OTHERS = """
import sys, numpy as np, tensorflow as tf
out = sys.argv[1]
w = tf.constant(np.random.default_rng(0).normal(size=(4, 3)).astype("float32"))
np.save(out + "/w.npy", w.numpy())
f = tf.function(lambda x: tf.matmul(x, w))
one = f.get_concrete_function(tf.TensorSpec((1, 4), tf.float32, name="x"))
free = f.get_concrete_function(tf.TensorSpec((None, 4), tf.float32, name="x"))
def write(name, function, quantized=False):
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
    if quantized:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        rows = np.random.default_rng(1).uniform(-1, 1, (200, 1, 4)).astype("float32")
        converter.representative_dataset = lambda: ([row] for row in rows)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    open(out + "/" + name, "wb").write(converter.convert())
write("one.tflite", one); write("free.tflite", free); write("int8.tflite", one, True)
def module(call):
    m = tf.Module()
    m.call = tf.function(call, input_signature=[tf.TensorSpec((None, 4), tf.float32, name="x")])
    return m
plain = module(lambda x: {"y": tf.matmul(x, w)})
tf.saved_model.save(plain, out + "/plain", signatures=plain.call)
def reads(x):
    length = tf.strings.length(tf.io.read_file("/etc/hostname"))
    return {"y": tf.matmul(x, w) + tf.cast(length, tf.float32)}
spy = module(reads)
tf.saved_model.save(spy, out + "/spy", signatures=spy.call)
def saves(x):
    place = dict(prefix=out + "/stolen", tensor_names=["x"], shape_and_slices=[""])
    tf.raw_ops.SaveV2(tensors=[x], **place)
    return {"y": x}
thief = module(saves)
tf.saved_model.save(thief, out + "/thief", signatures=thief.call)
"""


@pytest.fixture(scope="module")
def paths(digits_onnx, digits_tflite, digits_keras, digits_run, digits_stablehlo):
    return {
        "onnxruntime": digits_onnx,
        "LiteRT": digits_tflite,
        "Keras on JAX": digits_keras,
        "a run": digits_run,
        "JAX": digits_stablehlo,
    }


@pytest.mark.parametrize("name", ["onnxruntime", "LiteRT", "Keras on JAX", "a run", "JAX"])
def test_every_runtime_gives_what_keras_gives(name, paths, raw_digits, digits_run):
    images = raw_digits[0]
    model = holdfast.Run(digits_run).load_model("best")
    wanted = model.predict(images[:600], verbose=0)
    judge = holdfast.judge.load(paths[name])
    assert judge.runtime == ("Keras on JAX" if name == "a run" else name)
    for length in (0, 1, 3, 17, 600):
        found = judge(images[:length])
        assert found.shape == (length, 10)
        np.testing.assert_allclose(found, wanted[:length], atol=1e-5)
    # What is no float32, or no array at all, is made one.
    three = images[:3]
    for same in (
        three.astype("uint8"),
        three.astype(">f4"),
        three.tolist(),
        np.asfortranarray(three),
        np.repeat(three, 2, axis=2)[:, :, ::2],
    ):
        np.testing.assert_allclose(judge(same), wanted[:3], atol=1e-5)
    judge.close()
    with pytest.raises(ValueError, match="closed"):
        judge(images[:1])


@pytest.mark.parametrize("name", ["onnxruntime", "LiteRT", "Keras on JAX"])
def test_a_wrong_input_is_refused_with_both_sides(name, paths, rows):
    judge = holdfast.judge.load(paths[name])
    wrong = {
        r"image: expected float32\[\?, 8, 8, 1\], found float32\[17, 8, 8\]$": rows[..., 0],
        r"found float32\[8, 8, 1\]: that is one sample; give a batch of one": rows[0],
        r"found float32\[17, 8, 9, 1\]": np.zeros((17, 8, 9, 1), "float32"),
        r"expected float32.*found complex64": rows.astype("complex64"),
        r"expected float32.*found <U": np.full((1, 8, 8, 1), "x"),
        r"no input 'imag' \(did you mean 'image'\?\): it has image float32": {"imag": rows},
        r"image was not given": {},
        r"no array can be made of it": [[1.0], [2.0, 3.0]],
    }
    for message, inputs in wrong.items():
        with pytest.raises(InputError, match=message):
            judge(inputs)
    np.testing.assert_array_equal(judge({"image": rows}), judge(rows))


def test_several_inputs_go_by_name_or_in_order():
    keras.utils.set_random_seed(4)
    a, b = keras.Input((12,), name="a"), keras.Input((5,), name="b", dtype="int32")
    joined = keras.layers.Concatenate()([a, keras.layers.Rescaling(0.1)(b)])
    outputs = [
        keras.layers.Dense(3, name="kind")(joined),
        keras.layers.Dense(1, name="size")(joined),
    ]
    model = keras.Model([a, b], outputs)
    judge = Judge(Path("two"), KerasModel(model), About())
    given = [np.ones((3, 12), "float32"), np.arange(15, dtype="int32").reshape(3, 5)]
    wanted = model.predict(given, verbose=0)
    for inputs in (given, tuple(given), dict(zip("ab", given, strict=True))):
        found = judge(inputs)
        assert list(found) == ["kind", "size"]
        for part, array in zip(wanted, found.values(), strict=True):
            np.testing.assert_allclose(array, part, atol=1e-6)
    wrong = {
        "has 2 inputs .* and was given 3": [*given, given[0]],
        "was given ndarray": given[0],
        "different lengths: a 3, b 2": [given[0], given[1][:2]],
        r"b: expected int32\[\?, 5\], found float64": [given[0], given[1] * 0.5],
        "which int32 does not hold": [given[0], given[1].astype("int64") + 2**40],
        "numbers that float32 does not hold": [given[0].astype("float64") * 1e39, given[1]],
        "b was not given": {"a": given[0]},
    }
    for message, inputs in wrong.items():
        with pytest.raises(InputError, match=message):
            judge(inputs)


class Own(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = keras.layers.Dense(2)

    def build(self, shape):
        self.inner.build(shape)

    def call(self, x):
        return {"twice": 2 * self.inner(x), "once": self.inner(x)}


def test_names_of_a_subclassed_model_and_of_one_with_dicts():
    model = Own()
    rows = np.ones((5, 4), "float32")
    with pytest.raises(FormatError, match="never built"):
        KerasModel(model)
    wanted = {name: np.asarray(part) for name, part in model(rows).items()}
    judge = Judge(Path("own"), KerasModel(model), About())
    assert [tensor.name for tensor in judge.signature.inputs] == ["input"]
    found = judge(rows)
    assert set(found) == {"once", "twice"}
    for name, part in wanted.items():
        np.testing.assert_allclose(found[name], part, atol=1e-6)

    x = {name: keras.Input((2,), name=f"the_{name}") for name in ("z", "a")}
    dicts = keras.Model(x, {"sum": keras.layers.Add()([x["z"], x["a"]]), "z": -x["z"]})
    judge = Judge(Path("dicts"), KerasModel(dicts), About())
    given = {tensor.name: rows[:, :2] * n for n, tensor in enumerate(judge.signature.inputs, 1)}
    found = judge(given)
    assert set(given) == {"z", "a"}
    np.testing.assert_allclose(found["sum"], given["z"] + given["a"])
    np.testing.assert_allclose(found["z"], -given["z"])


def test_blocks_are_long_where_all_tensors_are_small():
    def longest(model, shape):
        lengths = []
        judge, call = KerasModel(model), None

        def counted(feed):
            lengths.append(len(feed["input"]))
            return call(feed)

        call, judge._call = judge._call, counted
        rows = np.random.default_rng(1).random((1100, *shape), np.float32)
        (found,) = judge.run({judge.signature.inputs[0].name: rows}).values()
        np.testing.assert_allclose(found, model.predict(rows, verbose=0), atol=1e-5)
        return max(lengths)

    layers = keras.layers

    def made(shape, *stack):
        return keras.Sequential([keras.Input(shape, name="input"), *stack])

    assert longest(made((4,), layers.Dense(2)), (4,)) == 2048
    inner = keras.Sequential([layers.Conv2D(32, 3), layers.GlobalAveragePooling2D()])
    assert longest(made((28, 28, 1), inner, layers.Dense(2)), (28, 28, 1)) == 512
    assert longest(made((None, 4), layers.GlobalMaxPooling1D()), (3, 4)) == 512
    own = Own()
    own(np.ones((5, 4), "float32"))
    assert KerasModel(own).run({"input": np.ones((600, 4), "float32")})["once"].shape == (600, 2)


@pytest.mark.parametrize("name", ["onnxruntime", "LiteRT", "Keras on JAX"])
def test_threads_may_share_a_judge(name, paths, raw_digits):
    judge, images = holdfast.judge.load(paths[name]), raw_digits[0]
    wanted = judge(images)

    def ask(number):
        part = slice(number, number + 1 + number % 7)
        return np.abs(judge(images[part]) - wanted[part]).max()

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert max(pool.map(ask, range(200))) < 1e-5


def test_files_that_are_not_of_holdfasts_making(others):
    weights = np.load(others / "w.npy")
    rows = np.random.default_rng(2).uniform(-1, 1, (9, 4)).astype("float32")
    for name, tolerance in (("one.tflite", 1e-5), ("free.tflite", 1e-5), ("int8.tflite", 0.05)):
        judge = holdfast.judge.load(others / name)
        (asked,), (given,) = judge.signature.inputs, judge.signature.outputs
        assert (asked.shape, asked.dtype) == ((None, 4), "float32"), name
        assert (given.shape, given.dtype) == ((None, 3), "float32"), name
        assert judge.about == About(name=name.partition(".")[0])
        for length in (0, 1, 9):
            np.testing.assert_allclose(
                judge(rows[:length]), rows[:length] @ weights, atol=tolerance
            )
    judge = holdfast.judge.load(others / "plain")
    assert judge.runtime == "TensorFlow"
    np.testing.assert_allclose(judge(rows), rows @ weights, atol=1e-5)


def test_names_that_others_gave_what_is_no_class_are_passed_over(others, tmp_path):
    path = tmp_path / "boxes.tflite"
    for names, known in ((90, 0), (3, 3)):
        shutil.copy(others / "free.tflite", path)
        with zipfile.ZipFile(path, "a") as members:
            members.writestr("labels.txt", "".join(f"{number}\n" for number in range(names)))
        assert len(holdfast.judge.load(path).about.classes) == known


def test_endings_may_be_in_capitals(digits_onnx, rows, tmp_path):
    path = tmp_path / "DIGITS.ONNX"
    shutil.copy(digits_onnx, path)
    assert holdfast.judge.load(path)(rows).shape == (17, 10)


def test_a_saved_model_that_reaches_outside_is_not_run(others):
    for name, operation in (("spy", "ReadFile"), ("thief", "SaveV2")):
        with pytest.raises(FormatError, match=f"has a {operation} .*reaches outside"):
            holdfast.judge.load(others / name)
    assert not list(others.glob("stolen*"))


@pytest.mark.parametrize("name", ["onnxruntime", "LiteRT", "JAX", "Keras on JAX"])
def test_a_file_cut_short_is_refused(name, paths, tmp_path):
    data = paths[name].read_bytes()
    path = tmp_path / paths[name].name
    for length in (8, 100, len(data) // 2, int(len(data) * 0.7)):
        path.write_bytes(data[:length])
        with pytest.raises(FormatError, match=path.name):
            holdfast.judge.load(path)


@pytest.mark.parametrize("name", ["onnxruntime", "LiteRT"])
def test_a_name_that_is_no_text_is_refused(name, paths, tmp_path, capfd):
    path = tmp_path / paths[name].name
    path.write_bytes(paths[name].read_bytes().replace(b"image", b"im\xffge"))
    with pytest.raises(FormatError, match=path.name):
        holdfast.judge.load(path)
    assert "\xff" not in capfd.readouterr().out


def test_texts_need_a_backend_that_has_them():
    asked = keras.Input((1,), dtype="string")
    with pytest.raises(FormatError, match="KERAS_BACKEND=tensorflow"):
        KerasModel(keras.Model(asked, keras.layers.Identity()(asked)))


def test_what_is_no_model_is_said_with_what_opens(tmp_path):
    with pytest.raises(NotThereError):
        holdfast.judge.load(tmp_path / "nothing.onnx")
    table = tmp_path / "table.csv"
    table.write_text("1,2\n")
    with pytest.raises(FormatError, match=r"(?s)Known are: .*\.keras.*And: \.onnx, \.tflite"):
        holdfast.judge.load(table)


def test_what_is_known_of_a_run_goes_with_it(paths, digits_run):
    run = holdfast.Run(digits_run)
    best = run.best()
    for name in ("a run", "onnxruntime", "LiteRT"):
        about = holdfast.judge.load(paths[name]).about
        assert about.classes == CLASSES, name
        assert about.inputs == {"image": "8x8 pixels, 0 (white) to 16 (black)"}
        assert about.run["id"] == run.identity().id
        assert about.run["digest"] == best.digest
        assert about.run["epoch"] == best.position.epoch
        assert about.metrics == pytest.approx(best.metrics)
        assert [layer.kind for layer in about.layers][:2] == ["Rescaling", "Conv2D"]
        assert about.layers[-1] == Layer("digit", "Dense", "(None, 10)", 1450)
        assert len(about.curve["val_loss"]) == 20


def test_about_comes_back_from_json():
    assert from_json(to_json(FULL), "it") == FULL
    assert from_json('{"format": 1, "later": {"x": 1}}', "it") == About()
    odd = About(metrics={"loss": float("nan")}, curve={"loss": [float("inf"), 1.0]})
    assert np.isnan(from_json(to_json(odd), "it").metrics["loss"])


HOSTILE = {
    "no JSON": "{",
    "no JSON: ": "[" * 100_000,
    "expected an object, found list": "[]",
    "expected a format number": "{}",
    "format: expected a whole number, found True": '{"format": true}',
    "name: expected a text, found 3": '{"format": 1, "name": 3}',
    r"classes\[1\]: expected a text, found None": '{"format": 1, "classes": ["a", null]}',
    "classes: expected a list, found str": '{"format": 1, "classes": "abc"}',
    "inputs/x: expected a text, found list": '{"format": 1, "inputs": {"x": []}}',
    "metrics/loss: expected a number, found True": '{"format": 1, "metrics": {"loss": true}}',
    "metrics/loss: expected a number, found str": '{"format": 1, "metrics": {"loss": "0"}}',
    "metrics/loss: expected": '{"format": 1, "metrics": {"loss": 1' + "0" * 400 + "}}",
    "curve/loss: expected a list": '{"format": 1, "curve": {"loss": 1}}',
    "curve/loss: expected a number": '{"format": 1, "curve": {"loss": [[]]}}',
    r"layers\[0\]: expected an object": '{"format": 1, "layers": [1]}',
    "parameters: expected a whole number": '{"format": 1, "layers": [{"parameters": 1.5}]}',
    "bytes, and 8388608 are read": " " * (9 << 20),
}


@pytest.mark.parametrize("message", HOSTILE)
def test_a_file_that_says_what_cannot_be_is_refused(message):
    with pytest.raises(FormatError, match=message):
        from_json(HOSTILE[message], "it")
    with pytest.raises(FormatError, match=message):
        from_json(HOSTILE[message].encode(), "it")


def test_a_newer_format_is_refused():
    with pytest.raises(NewerFormatError, match="format 2; this one reads 1"):
        from_json('{"format": 2}', "it")


def test_what_files_carry_is_read(digits_keras, digits_stablehlo, others, tmp_path):
    text = to_json(FULL)
    about = tmp_path / "x.keras"
    shutil.copy(digits_keras, about)
    assert carried.of_keras(about) == About(name="x")
    with zipfile.ZipFile(about, "a") as file:
        file.writestr("holdfast.json", text)
    assert carried.of_keras(about) == FULL

    model = holdfast.load_model(digits_keras)
    for name in ("x.h5", "x.safetensors"):
        holdfast.save_model(model, tmp_path / name)
        assert carried.of_keras(tmp_path / name) == About(name="x")
    with h5py.File(tmp_path / "x.h5", "a") as file:
        file.attrs["holdfast"] = text
    assert carried.of_keras(tmp_path / "x.h5") == FULL
    with pytest.raises(FormatError, match="10 numbers for each row, and 2 names of classes"):
        holdfast.judge.load(tmp_path / "x.h5")

    tensors = tmp_path / "x.safetensors"
    data = tensors.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    for told in (text, 3):
        header["__metadata__"]["holdfast.about"] = told
        new = json.dumps(header).encode()
        tensors.write_bytes(len(new).to_bytes(8, "little") + new + data[8 + length :])
        if told == text:
            assert carried.of_keras(tensors) == FULL
    with pytest.raises(FormatError, match="expected a text, found int"):
        carried.of_keras(tensors)

    for source in (digits_stablehlo, others / "free.tflite"):
        whole = source.read_bytes()
        path = tmp_path / source.name
        named = json.dumps({"format": 1, "name": "told", "export": {"inputs": ["x", 3, []]}})
        path.write_bytes(whole + packed({"holdfast.json": named}))
        assert holdfast.judge.load(path).about.name == "told"
        path.write_bytes(whole + packed({"holdfast.json": " " * (9 << 20)}))
        with pytest.raises(FormatError, match="longer than"):
            holdfast.judge.load(path)
        path.write_bytes(whole + packed({"holdfast.json": text})[:-40] + b"PK\5\6" + bytes(18))
        assert holdfast.judge.load(path).about.name == path.stem  # a zip of nothing
        flipped = bytearray(whole + packed({"holdfast.json": text}))
        flipped[len(whole) + 60] ^= 1
        path.write_bytes(flipped)
        with pytest.raises(FormatError, match="damaged"):
            holdfast.judge.load(path)
    path.write_bytes(whole + packed({"labels.txt": "rot\ngrün\nblau\n"}))
    assert holdfast.judge.load(path).about.classes == ("rot", "grün", "blau")


def packed(members):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        for name, text in members.items():
            file.writestr(name, text)
    return data.getvalue()


BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in {blocked}:
            raise ModuleNotFoundError(f"blocked: {{name}}", name=name)
sys.meta_path.insert(0, Blocked())
import holdfast.judge, numpy as np
rows, wanted = np.load(sys.argv[1]), np.load(sys.argv[2])
for path in sys.argv[3:]:
    judge = holdfast.judge.load(path)
    np.testing.assert_allclose(judge(rows), wanted, atol=1e-5)
    print(judge.about.classes[3])
assert not {blocked} & set(sys.modules)
"""


def test_a_board_needs_neither_keras_nor_anything_else(
    digits_onnx, digits_tflite, digits_run, rows, tmp_path
):
    np.save(tmp_path / "x.npy", rows)
    model = holdfast.Run(digits_run).load_model("best")
    np.save(tmp_path / "y.npy", model.predict(rows, verbose=0))
    blocked = {"keras", "jax", "jaxlib", "tensorflow", "torch", "h5py", "rich", "typer", "blake3"}
    blocked |= {"ml_dtypes", "optree", "absl"}
    program = BLOCKED.format(blocked=blocked)
    files = [tmp_path / "x.npy", tmp_path / "y.npy", digits_onnx, digits_tflite]
    found = subprocess.run(
        [sys.executable, "-c", program, *files],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout.split() == ["three", "three"]


def test_the_examples(digits_onnx, digits_tflite, rows, tmp_path):
    table = tmp_path / "rows.csv"
    np.savetxt(table, rows.reshape(17, 64), "%g", ",")
    wanted = [CLASSES[best] for best in holdfast.judge.load(digits_onnx)(rows).argmax(1)]
    found = example("judge_pc.py", digits_onnx, table)
    assert [line.split()[0] for line in found.splitlines()] == wanted

    # The sensor is a pipe: each line is answered before the next is sent, bad ones are passed over.
    lines = table.read_text().splitlines()
    board = subprocess.Popen(
        [sys.executable, EXAMPLES / "judge_board.py", digits_tflite, "/dev/stdin"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with board:
        for line, name in zip(lines, wanted, strict=True):
            board.stdin.write(f"noise\n1,2,3\n\n{line}\n")
            board.stdin.flush()
            assert board.stdout.readline().strip() == name
        board.stdin.close()
        assert board.stderr.read().count("passed over") == 3 * len(lines)
    assert board.returncode == 0
    for name in ("judge_pc.py", "judge_board.py"):
        assert len((EXAMPLES / name).read_text().splitlines()) <= 20


def example(name, *arguments):
    command = [sys.executable, EXAMPLES / name, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def small():
    keras.utils.set_random_seed(5)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.compile("sgd", "mse")
    return model


DATA = np.ones((8, 4), "float32"), np.ones((8, 3), "float32")


def test_a_run_keeps_what_it_is_told(tmp_path):
    run = holdfast.Run(tmp_path / "run")
    assert run.description().classes == ()
    run.describe(classes=["a", "b", "c"])
    assert run.status == "new"
    run.describe(inputs={"x": "four numbers"})
    run.fit(small(), *DATA, verbose=0)
    run.describe(classes=["a", "b", "c"])
    before = run.digest()
    again = holdfast.Run(tmp_path / "run")
    assert again.description().classes == ("a", "b", "c")
    assert again.description().inputs == {"x": "four numbers"}
    assert not again.verify().findings
    assert not again.verify().unreachable
    again.repair()
    again.prune()
    again.fit(small(), *DATA, verbose=0, fresh=True)
    assert again.description().classes == ("a", "b", "c")
    assert again.digest() == before
    assert holdfast.judge.load(again.path).about.classes == ("a", "b", "c")

    again.describe(classes=["a", "b"])
    with pytest.raises(FormatError, match="3 numbers for each row, and 2 names"):
        holdfast.judge.load(again.path)

    about = again.path / "about.json"
    about.write_bytes(about.read_bytes().replace(b'"a"', b'"x"'))
    with pytest.raises(DamagedError, match=r"about\.json"):
        again.description()
    again.fit(small(), *DATA, verbose=0)
    again.describe(classes=["a", "b", "c"])
    assert again.description().classes == ("a", "b", "c")


def test_what_cannot_be_told_of_a_run(tmp_path):
    run = holdfast.Run(tmp_path / "run")
    wrong = {
        "at least two": {"classes": ["cat"]},
        "a list of names, found 'cat'": {"classes": "cat"},
        "a list of names, found {'cat'}": {"classes": {"cat"}},  # without an order
        "a list of names, found 5": {"classes": 5},
        "expected texts, found 1": {"classes": ["a", 1]},
        "'a' is there twice": {"classes": ["a", "b", "a"]},
        "expected a dict": {"inputs": ["x"]},
        "expected a text for each": {"inputs": {"x": 1}},
    }
    for message, told in wrong.items():
        with pytest.raises(RunError, match=message):
            run.describe(**told)
    assert not run.path.exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot write"):
        holdfast.Run(tmp_path / "file").describe(classes=["a", "b"])


def test_a_run_that_prunes_while_it_is_read(tmp_path):
    """What was the best a moment ago is gone: the best of now is taken."""
    trained = holdfast.Run(tmp_path / "run")
    trained.fit(small(), *DATA, epochs=3, verbose=0, keep=holdfast.Keep(last=3, best=3))
    looks = []

    class Training(holdfast.Run):
        def best(self, monitor=None, mode="auto"):
            found = super().best(monitor, mode)
            looks.append(found)
            if len(looks) == 1:
                found.path.unlink()
            return found

    _, about = of_run.load_best(Training(trained.path))
    assert len(looks) == 2
    assert about.run["step"] == looks[1].position.total != looks[0].position.total
