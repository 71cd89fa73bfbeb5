"""Which class a row is of: the same in a file of answers and in what is served."""

import json

import numpy as np
import pytest

from holdfast.judge.about import About
from holdfast.prediction.answers import Reader
from holdfast.prediction.classes import classify
from holdfast.serving import answers

NAMES = tuple(f"class {number}" for number in range(10))


def probabilities(rows, width):
    random = np.random.default_rng(0)
    scores = np.exp(2 * random.standard_normal((rows, width)))
    return (scores / scores.sum(axis=1, keepdims=True)).astype("float32")


def rounded(output):
    """As a model in int8 rounds its outputs: to steps of 1/256."""
    return (np.rint(output * 256) / 256).astype("float32")


def said(output, names):
    """What is said of an output in a file, and by the server in JSON and in CSV."""
    found = Reader(names).answers({"digit": output})
    facts = found.facts
    file = [
        (of, number)
        for of, number in zip(
            facts.get("class", [None] * len(output)),
            facts.get("probability", [None] * len(output)),
            strict=True,
        )
    ]
    about = About(classes=tuple(names))
    rows = json.loads(answers.write({"digit": output}, about, "1", "")[1])["predictions"]
    served = [(row.get("class"), row.get("probability")) for row in rows]
    lines = answers.write({"digit": output}, about, "1", "text/csv")[1].decode().splitlines()
    head = lines[0].split(",")
    cells = [line.split(",") for line in lines[1:]]
    table = [
        (
            row[head.index("class")] if "class" in head else None,
            float(row[head.index("probability")]) if "probability" in head else None,
        )
        for row in cells
    ]
    return file, served, table


@pytest.mark.parametrize("names", [(), NAMES], ids=["unnamed", "named"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "rounded"])
def test_files_and_the_server_say_the_same_class_and_probability(names, dtype):
    output = probabilities(500, 10)
    output = rounded(output) if dtype == "rounded" else output.astype(dtype)
    if dtype == "rounded":
        assert np.abs(output.sum(axis=1) - 1).max() > 0.002  # else this would show nothing
    file, served, table = said(output, names)
    best = output.argmax(axis=1)
    assert [of for of, _ in file] == [names[at] if names else at for at in best]
    assert [of for of, _ in served] == [of for of, _ in file]
    assert [of for of, _ in table] == [str(of) for of, _ in file]
    largest = output.max(axis=1)
    for found in (file, served, table):
        assert np.array([number for _, number in found], output.dtype).tolist() == largest.tolist()


def test_files_and_the_server_agree_about_one_number_of_two_classes():
    output = rounded(probabilities(50, 2))[:, :1]
    file, served, table = said(output, ("no", "yes"))
    assert {of for of, _ in file} == {"no", "yes"}
    assert file == served == table
    assert said(output * 4, ("no", "yes"))[0] == [(None, None)] * 50
    assert said(output * 4, ("no", "yes"))[1] == [(None, None)] * 50


@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_scores_have_a_class_where_classes_have_names(dtype):
    output = (10 * probabilities(20, 10)).astype(dtype)
    file, served, table = said(output, NAMES)
    assert file == served == table == [(NAMES[at], None) for at in output.argmax(axis=1)]
    file, served, table = said(output, ())
    assert file == served == table == [(None, None)] * 20


def test_a_row_with_nan_is_of_no_class_and_does_not_decide_for_the_others():
    output = probabilities(3, 10)
    output[1, 4] = np.nan
    for names in ((), NAMES):
        file, served, _ = said(output, names)
        assert [of is None for of, _ in file] == [False, True, False]
        assert [of for of, _ in served] == [of for of, _ in file]
        assert served[1] == (None, None)
        assert served[0][1] == pytest.approx(output[0].max())
        assert np.isnan(file[1][1])


def test_columns_stay_as_the_first_batch_has_them():
    sure, scores = probabilities(2, 3), np.float32([[2, 0, 1], [0.5, 0.25, 0.25]])
    reader = Reader(())
    assert list(reader.answers({"y": sure}).facts) == ["class", "probability"]
    later = reader.answers({"y": scores}).facts
    assert later["class"].tolist() == [None, 0]
    np.testing.assert_array_equal(later["probability"], [np.nan, 0.5])
    reader = Reader(("a", "b", "c"))
    assert list(reader.answers({"y": scores}).facts) == ["class", "score"]
    assert list(reader.answers({"y": sure}).facts) == ["class", "score"]


def test_what_cannot_be_of_classes_is_of_none():
    assert classify(np.zeros((2, 3, 4), "float32"), ()) is None
    assert classify(np.zeros((2,), "float32"), ()) is None
    assert classify(np.zeros((2, 1), "float32"), ()) is None
    assert classify(np.array([["a", "b"]], dtype=object), ("a", "b")) is None
    assert classify(np.zeros((2, 3), "float32"), ("a", "b")) is None
    infinite = classify(np.float32([[np.inf, -np.inf]]), ("a", "b"))
    assert infinite is not None
    assert infinite.best.tolist() == ["a"]
