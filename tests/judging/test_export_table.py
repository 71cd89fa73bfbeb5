"""The twelve architectures in each format, and that the documents' table says what comes out."""

from pathlib import Path

import architectures
import numpy as np
import pytest

import holdfast
from holdfast.errors import InputError
from holdfast.exporting.export import export_each
from holdfast.exporting.order import Exported

FORMATS = (".onnx", ".tflite", ".stablehlo")
RECURRENT = ("lstm", "gru", "bidirectional")
MAKERS = (*architectures.TWELVE, architectures.prepared)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """What became of each, by the name of its file; all by two child processes."""
    folder = tmp_path_factory.mktemp("exported")
    models = [architectures.built(make) for make in MAKERS]
    wanted = [(model, folder / f"{model.name}{form}", None) for model in models for form in FORMATS]
    found = export_each(wanted)
    return {path.name: done for (_, path, _), done in zip(wanted, found, strict=True)}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_an_architecture_is_exported_and_computes_the_same(exported, make, form):
    done = exported[f"{make.__name__}{form}"]
    assert isinstance(done, Exported), done
    allowed = 1e-4 if make.__name__ in RECURRENT else 1e-5
    assert max(done.differences.values()) <= allowed == done.tolerance


def test_the_order_of_inputs_and_outputs_is_the_models(exported):
    for form in FORMATS:
        judge = holdfast.judge.load(exported[f"two{form}"].target)
        assert [tensor.name for tensor in judge.signature.inputs] == ["wide", "narrow"]
        assert [tensor.name for tensor in judge.signature.outputs] == ["size", "kind"]
        assert [tensor.shape for tensor in judge.signature.inputs] == [(None, 12), (None, 5)]


@pytest.mark.parametrize("form", [".onnx", ".tflite"])
def test_a_number_that_no_table_has_is_an_input_error_each_time(exported, form):
    judge = holdfast.judge.load(exported[f"embedding{form}"].target)
    good, wrong = np.ones((2, 10), "int32"), np.full((2, 10), 99, "int32")
    answer = judge(good)
    for _ in range(2):
        with pytest.raises(InputError, match="could not run the model"):
            judge(wrong)
        np.testing.assert_array_equal(judge(good), answer)


def test_nothing_is_left_beside_the_files(exported):
    folder = exported["mlp.onnx"].target.parent
    assert {path.name for path in folder.iterdir()} == set(exported)


def test_the_page_has_the_table(exported):
    page = (Path(__file__).parents[2] / "docs" / "export.md").read_text(encoding="utf-8")
    for make in architectures.TWELVE:
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{make.__name__}` ")]
        assert row.count("| works") == len(FORMATS)
