"""The twelve architectures in each format, and that the documents' table says what comes out."""

from pathlib import Path

import architectures
import pytest

import holdfast
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


def test_nothing_is_left_beside_the_files(exported):
    folder = exported["mlp.onnx"].target.parent
    assert {path.name for path in folder.iterdir()} == set(exported)


def test_the_page_has_the_table(exported):
    page = (Path(__file__).parents[2] / "docs" / "export.md").read_text(encoding="utf-8")
    for make in architectures.TWELVE:
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{make.__name__}` ")]
        assert row.count("| works") == len(FORMATS)
