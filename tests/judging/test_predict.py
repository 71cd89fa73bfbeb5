"""The verb `predict`: answers in every form, by every kind of model, whole or not at all."""

import contextlib
import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from holdfast.cli.main import main

HOLDFAST = [sys.executable, "-c", "from holdfast.cli.main import main; main()"]


@pytest.fixture
def predict(capsys):
    """Runs the verb; gives its exit code and what it printed, and where."""

    def run(*arguments):
        with pytest.raises(SystemExit) as left:
            main(["predict", *map(str, arguments)])
        said = capsys.readouterr()
        return left.value.code or 0, said.out, said.err

    return run


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Small models made by hand: softmax of 3 numbers, two inputs and outputs, times."""
    onnx = pytest.importorskip("onnx")
    made = onnx.helper
    floats, whole = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
    folder = tmp_path_factory.mktemp("models")

    def save(name, nodes, inputs, outputs):
        def listed(parts):
            return [made.make_tensor_value_info(*part) for part in parts]

        graph = made.make_graph(nodes, name, listed(inputs), listed(outputs))
        onnx.save(
            made.make_model(graph, opset_imports=[made.make_opsetid("", 17)], ir_version=9),
            folder / f"{name}.onnx",
        )

    for name, size in (("softmax", "batch"), ("fixed", 4)):
        node = made.make_node("Softmax", ["x"], ["kind"])
        save(name, [node], [("x", floats, [size, 3])], [("kind", floats, [size, 3])])
    nodes = [
        made.make_node("Neg", ["a"], ["less"]),
        made.make_node("Add", ["b", "b"], ["file"]),
    ]
    save(
        "two",
        nodes,
        [("a", floats, ["batch", 2]), ("b", whole, ["batch"])],
        [("less", floats, ["batch", 2]), ("file", whole, ["batch"])],
    )
    node = made.make_node("Mul", ["x", "s"], ["y"])
    save(
        "scaled",
        [node],
        [("x", floats, ["batch", 3]), ("s", floats, [])],
        [("y", floats, ["batch", 3])],
    )
    node = made.make_node("Neg", ["x"], ["less"])
    save("times", [node], [("x", floats, ["batch", "t"])], [("less", floats, ["batch", "t"])])
    return folder


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A table of 600 rows of three numbers, and what softmax makes of them."""
    rows = np.random.default_rng(3).normal(size=(600, 3)).astype("float32")
    path = tmp_path_factory.mktemp("rows") / "rows.csv"
    path.write_text("".join(",".join(map(repr, row)) + "\n" for row in rows.tolist()))
    grown = np.exp(rows)
    return path, grown / grown.sum(axis=1, keepdims=True)


def test_answers_in_every_form(predict, models, table, tmp_path):
    source, expected = table
    names = ("red", "green", "blue")
    best = [names[place] for place in expected.argmax(axis=1)]

    def answers(ending):
        path = tmp_path / "deep" / f"answers{ending}"
        code, out, err = predict(
            models / "softmax.onnx", source, "-o", path, "--classes", ",".join(names)
        )
        assert (code, err) == (0, "")
        assert f"answers{ending}: 600 rows in" in out
        assert "by onnxruntime" in out
        assert os.listdir(path.parent) == [path.name]
        found = path.read_bytes()
        path.unlink()
        kept = tmp_path / path.name
        kept.write_bytes(found)
        return kept

    array = np.load(answers(".npy"))
    assert array.dtype == np.float32
    np.testing.assert_allclose(array, expected, rtol=1e-5)
    np.testing.assert_array_equal(np.load(answers(".npz"))["kind"], array)
    with answers(".csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert list(lines[0]) == ["class", "probability", *names]
    assert [line["class"] for line in lines] == best
    found = [[line[name] for name in names] for line in lines]
    np.testing.assert_array_equal(np.array(found, dtype="float32"), array)  # not a bit is lost
    lines = [json.loads(line) for line in answers(".jsonl").read_text().splitlines()]
    assert [line["class"] for line in lines] == best
    np.testing.assert_array_equal(np.float32([line["kind"] for line in lines]), array)
    found = np.float32([line["probability"] for line in lines])
    np.testing.assert_array_equal(found, array.max(axis=1))
    parquet = pytest.importorskip("pyarrow.parquet").read_table(answers(".parquet"))
    assert parquet.column_names == ["class", "probability", *names]
    assert parquet["class"].to_pylist() == best
    np.testing.assert_array_equal(np.stack([parquet[name] for name in names], axis=1), array)


def test_answers_on_the_standard_output(predict, models, table, tmp_path):
    source, expected = table
    code, out, err = predict(models / "softmax.onnx", source)
    assert (code, err) == (0, "")
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["class"] for line in lines] == expected.argmax(axis=1).tolist()
    code, out, _ = predict(models / "softmax.onnx", source, "-o", tmp_path / "x.npy", "--json")
    told = json.loads(out)
    assert code == 0
    assert (told["rows"], told["runtime"]) == (600, "onnxruntime")
    assert told["rows_a_second"] > 0
    code, _, err = predict(models / "softmax.onnx", source, "--json")
    assert code == 2
    assert "--out" in err


@pytest.mark.parametrize("classes", ["red,green,blue", None])
def test_rows_with_nan_are_of_no_class(predict, models, tmp_path, classes):
    np.save(tmp_path / "x.npy", np.float32([[1, 2, 3]] * 2 + [[np.nan, 0, 0], [9, 0, 0]]))
    options = ("--batch", 1, *(("--classes", classes) if classes else ()))
    named = [
        name and (name if classes else number)
        for name, number in (("blue", 2), ("blue", 2), (None, None), ("red", 0))
    ]

    def answers(ending):
        out = tmp_path / f"out.{ending}"
        assert predict(models / "softmax.onnx", tmp_path / "x.npy", *options, "-o", out)[0] == 0
        return out

    lines = [json.loads(line) for line in answers("jsonl").read_text().splitlines()]
    assert [line["class"] for line in lines] == named
    with answers("csv").open(newline="") as file:
        assert [row["class"] for row in csv.DictReader(file)] == [
            "" if name is None else str(name) for name in named
        ]
    parquet = pytest.importorskip("pyarrow.parquet")
    assert parquet.read_table(answers("parquet"))["class"].to_pylist() == named


def test_a_number_that_is_no_probability_is_of_no_class(predict, models, tmp_path):
    np.save(tmp_path / "t.npy", np.float32([[-0.3], [2.5]]))
    code, out, _ = predict(models / "times.onnx", tmp_path / "t.npy", "--classes", "no,yes")
    assert code == 0
    assert [json.loads(line) for line in out.splitlines()] == [{"less": [0.3]}, {"less": [-2.5]}]


def test_models_that_are_not_of_rows_are_refused_in_a_line(models, table, capsys):
    for verb in (["predict", models / "scaled.onnx", table], ["serve", models / "scaled.onnx"]):
        with pytest.raises(SystemExit) as left:
            main([str(word) for word in verb])
        said = capsys.readouterr().err
        assert left.value.code == 1
        assert said.startswith("holdfast: s is float32[], one for a whole batch"), said


def test_several_inputs_and_outputs(predict, models, tmp_path):
    table = tmp_path / "two.csv"
    table.write_text("b,a_0,a_1\n1,2,3\n4,5,6\n")
    _, out, _ = predict(models / "two.onnx", table)
    lines = [json.loads(line) for line in out.splitlines()]
    assert lines == [{"less": [-2, -3], "file": 2}, {"less": [-5, -6], "file": 8}]
    predict(models / "two.onnx", table, "-o", tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == ("less_0,less_1,file\n-2.0,-3.0,2\n-5.0,-6.0,8\n")
    predict(models / "two.onnx", table, "-o", tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz") as found:
        assert found["file"].tolist() == [2, 8]
        assert found["less"].tolist() == [[-2, -3], [-5, -6]]
    code, _, err = predict(models / "two.onnx", table, "-o", tmp_path / "out.npy")
    assert code == 1
    assert "less, file): write an .npz" in err


def test_models_of_a_fixed_batch_and_of_free_lengths(predict, models, table, tmp_path):
    source, expected = table
    predict(models / "fixed.onnx", source, "-o", tmp_path / "x.npy")
    np.testing.assert_allclose(np.load(tmp_path / "x.npy"), expected, rtol=1e-5)
    lines = tmp_path / "x.jsonl"
    lines.write_text("[1]\n[2, 3]\n[NaN, 4]\n")
    _, out, _ = predict(models / "times.onnx", lines)
    found = [json.loads(line)["less"] for line in out.splitlines()]
    assert found == [[-1], [-2, -3], [None, -4]]
    for ending, way_out in ((".csv", ".jsonl"), (".npy", ".jsonl")):
        code, _, err = predict(models / "times.onnx", lines, "-o", tmp_path / f"t{ending}")
        assert code == 1
        assert way_out in err
        assert not (tmp_path / f"t{ending}").exists()


def test_every_kind_of_model_gives_the_same(
    predict, digits_run, digits_keras, digits_onnx, digits_tflite, rows, tmp_path
):
    np.save(tmp_path / "rows.npy", rows)
    found = []
    for model in (digits_onnx, digits_tflite, digits_keras, digits_run):
        code, _, err = predict(model, tmp_path / "rows.npy", "-o", tmp_path / "found.csv")
        assert (code, err) == (0, "")
        with (tmp_path / "found.csv").open(newline="") as file:
            found.append(list(csv.DictReader(file)))
    numbers = [
        [[float(line[name]) for name in lines[0] if name != "class"] for line in lines]
        for lines in found
    ]
    for other in numbers[1:]:
        np.testing.assert_allclose(other, numbers[0], atol=1e-5)
    # Digits 0 to 9 and on: the classes' names come from the run, also through an exported file.
    for lines in (found[0], found[1], found[3]):
        assert [line["class"] for line in lines[:3]] == ["zero", "one", "two"]
        assert list(lines[0])[1:4] == ["probability", "zero", "one"]


def test_images_of_digits(predict, digits_onnx, raw_digits, tmp_path):
    x, y = raw_digits
    folder = tmp_path / "digits"
    folder.mkdir()
    for number in range(20):
        pixels = (x[number, ..., 0] * (255 / 16)).astype("uint8")
        Image.fromarray(pixels).resize((80, 80), Image.Resampling.NEAREST).save(
            folder / f"{number:02}.png"
        )
    code, out, err = predict(digits_onnx, folder, "--scale", "0:16")
    assert code == 0
    assert "8x8, grey, black 0, white 16 (as asked)" in err
    lines = [json.loads(line) for line in out.splitlines()]
    assert [Path(line["file"]).name for line in lines] == [f"{n:02}.png" for n in range(20)]
    names = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    right = [line["class"] == names[digit] for line, digit in zip(lines, y[:20], strict=True)]
    assert sum(right) >= 18
    # Ink on paper: the words of the run say that 0 is white.
    scan = tmp_path / "scan.png"
    Image.fromarray((255 - x[7, ..., 0] * (255 / 16)).astype("uint8")).save(scan)
    _, out, err = predict(digits_onnx, scan)
    assert "black 16, white 0 (the input is '8x8 pixels, 0 (white) to 16 (black)')" in err
    assert json.loads(out)["class"] == names[y[7]]


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (
            ["rows.csv", "--classes", "a,b"],
            ["2 classes have names (a, b)", "kind", "float32[?, 3]"],
        ),
        (["rows.csv", "--classes", "a,b,a"], ["'a' twice"]),
        (["rows.csv", "--classes", "names.txt"], ["at least two names", "found 'names.txt'"]),
        (["rows.csv", "-o", "rows.csv"], ["rows.csv is an input"]),
        (["rows.csv", "-o", "out.cvs"], ["'.cvs' (did you mean '.csv'?)"]),
        (["rows.csv", "-o", "rows.csv/out.csv"], ["rows.csv"]),
        (["row.csv"], ["row.csv", "did you mean 'rows.csv'?"]),
        (["wide.csv"], ["wide.csv", "float32[?, 3]", "found 4", "with --columns"]),
        (["wide.csv", "--columns", "1,2,7"], ["no column '7'", "4 columns"]),
        (["rows.csv", "bad.csv", "-o", "out.csv"], ["bad.csv, line 2, column 3", "'x'"]),
    ],
)
def test_mistakes_are_a_line_and_leave_no_file(
    predict, models, table, tmp_path, monkeypatch, arguments, parts
):
    monkeypatch.chdir(tmp_path)
    Path("rows.csv").write_bytes(table[0].read_bytes())
    Path("wide.csv").write_text("1,2,3,4\n")
    Path("bad.csv").write_text("1,2,3\n1,2,x\n")
    code, _, err = predict(models / "softmax.onnx", *arguments)
    assert code == 1
    assert "Traceback" not in err
    for part in parts:
        assert part in err
    assert sorted(os.listdir()) == ["bad.csv", "rows.csv", "wide.csv"]
    assert Path("rows.csv").read_bytes() == table[0].read_bytes()


def test_a_scale_that_is_none(predict, models, table):
    code, _, err = predict(models / "softmax.onnx", table[0], "--scale", "255")
    assert code == 2
    assert "0:255" in err


MEASURED = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def test_memory_does_not_grow_with_the_input(models, tmp_path):
    """20 times the rows, from a table and from a packed array, take the same memory."""
    peaks = []
    for times in (1, 20):
        rows = np.random.default_rng(1).normal(size=(2000 * times, 3)).astype("float32")
        with (tmp_path / "rows.csv").open("w") as file:
            np.savetxt(file, rows, delimiter=",", fmt="%.6g")
        np.savez_compressed(tmp_path / "rows.npz", x=np.tile(rows, (4, 1)))
        asked = ["predict", models / "softmax.onnx", tmp_path / "rows.csv", tmp_path / "rows.npz"]
        told = subprocess.run(
            [sys.executable, "-c", MEASURED, *HOLDFAST, *asked, "-o", tmp_path / "out.csv"],
            check=True,
            capture_output=True,
            text=True,
        )
        peaks.append(int(told.stdout))
    assert (tmp_path / "out.csv").read_bytes().count(b"\n") == 1 + 5 * 40_000
    assert peaks[1] < 1.1 * peaks[0]


def test_a_reader_that_has_enough_ends_it(models, table, tmp_path):
    long = tmp_path / "long.csv"
    long.write_text(table[0].read_text() * 20)
    with subprocess.Popen(
        [*HOLDFAST, "predict", models / "softmax.onnx", long],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as child:
        assert json.loads(child.stdout.readline())["class"] in (0, 1, 2)
        child.stdout.close()
        assert child.stderr.read() == b""
    assert child.returncode == 0


@pytest.mark.usefixtures("heeding")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_the_old_answers_stay_until_the_new_are_whole(models, tmp_path, number):
    out = tmp_path / "out.jsonl"
    out.write_text("old\n")
    with subprocess.Popen(
        [*HOLDFAST, "predict", models / "softmax.onnx", "-", "-o", out],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as child:
        child.stdin.write(b"[1, 2, 3]\n")
        child.stdin.flush()
        while not any(path.stat().st_size for path in tmp_path.glob(".*/out.jsonl")):
            assert child.poll() is None
            time.sleep(0.01)
        child.send_signal(number)
        said = child.stderr.read()
    assert child.returncode == (130 if number == signal.SIGINT else -number)
    assert b"Traceback" not in said
    assert out.read_text() == "old\n"
    if number == signal.SIGINT:
        assert os.listdir(tmp_path) == ["out.jsonl"]
    # The next one removes what a killed one has left.
    told = subprocess.run(
        [*HOLDFAST, "predict", models / "softmax.onnx", "-", "-o", out],
        input=b"[1, 2, 3]\n",
        check=True,
        capture_output=True,
    )
    assert b"1 row in" in told.stdout
    assert json.loads(out.read_text())["class"] == 2
    assert os.listdir(tmp_path) == ["out.jsonl"]


def test_progress_is_for_a_terminal(models, tmp_path):
    """A slow pipe stands for much work: the bar comes after a second, and counts what is done."""
    ours, theirs = os.openpty()
    with subprocess.Popen(
        [*HOLDFAST, "predict", models / "softmax.onnx", "-", "-o", tmp_path / "out.csv"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "80"},
    ) as child:
        os.close(theirs)
        shown = b""
        sent = 0
        while b"rows" not in shown:
            assert child.poll() is None
            child.stdin.write(b"[1, 2, 3]\n")
            child.stdin.flush()
            sent += 1
            time.sleep(0.05)
            if sent > 15:  # nothing is shown before the first second is over
                os.set_blocking(ours, False)
                with contextlib.suppress(BlockingIOError):
                    shown += os.read(ours, 4096)
        child.stdin.close()
    counted = int(re.findall(rb"(\d+) rows", shown)[-1])
    assert 1 <= counted <= sent
    os.close(ours)
