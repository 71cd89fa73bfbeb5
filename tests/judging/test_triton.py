"""tritonclient, as it comes from PyPI, asks `holdfast serve`."""

import numpy as np
import pytest
from server_process import CLASSES, images, serving, small_model

http = pytest.importorskip("tritonclient.http")
from tritonclient.utils import InferenceServerException


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "shapes.onnx"
    return path, small_model(path)


@pytest.fixture(scope="module")
def client(model, tmp_path_factory):
    with (
        serving(model[0], tmp_path_factory.mktemp("log") / "log") as server,
        http.InferenceServerClient(f"127.0.0.1:{server.port}", concurrency=8) as client,
    ):
        yield client


def given(batch, binary=True, name="image", datatype="FP32"):
    tensor = http.InferInput(name, batch.shape, datatype)
    tensor.set_data_from_numpy(batch, binary_data=binary)
    return [tensor]


def test_what_is_told_of_the_server_and_the_model(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("shapes")
    assert not client.is_model_ready("circles")
    assert client.get_server_metadata()["name"] == "holdfast"
    told = client.get_model_metadata("shapes")
    assert told["inputs"] == [{"name": "image", "datatype": "FP32", "shape": [-1, 8, 8, 1]}]
    assert told["outputs"] == [{"name": "shape", "datatype": "FP32", "shape": [-1, 3]}]
    (version,) = told["versions"]
    assert client.get_model_metadata("shapes", version) == told
    assert client.get_model_config("shapes")["max_batch_size"] == 64
    (listed,) = client.get_model_repository_index()
    assert listed["state"] == "READY"


@pytest.mark.parametrize("sent", [True, False], ids=["binary", "json"])
@pytest.mark.parametrize("answered", [True, False], ids=["binary", "json"])
def test_batches_of_any_size(client, model, sent, answered):
    for count in (1, 3, 17, 64, 100):
        batch = images(count, count)
        wanted = [http.InferRequestedOutput("shape", binary_data=answered)]
        result = client.infer("shapes", given(batch, sent), outputs=wanted, request_id="7")
        np.testing.assert_allclose(result.as_numpy("shape"), model[1](batch), atol=1e-6)
        assert result.get_response()["id"] == "7"


@pytest.mark.parametrize("kind", ["gzip", "deflate"])
def test_compression(client, model, kind):
    batch = images(5)
    result = client.infer(
        "shapes",
        given(batch),
        request_compression_algorithm=kind,
        response_compression_algorithm=kind,
    )
    np.testing.assert_allclose(result.as_numpy("shape"), model[1](batch), atol=1e-6)


def test_classification(client, model):
    batch = images(4)
    wanted = [http.InferRequestedOutput("shape", class_count=2)]
    found = client.infer("shapes", given(batch), outputs=wanted).as_numpy("shape")
    expected = model[1](batch)
    assert found.shape == (4, 2)
    for row, numbers in zip(found, expected, strict=True):
        value, place, name = row[0].decode().split(":")
        assert int(place) == numbers.argmax()
        assert name == CLASSES[int(place)]
        assert float(value) == pytest.approx(numbers.max(), abs=1e-6)


def test_many_at_once(client, model):
    batches = [images(1 + number % 4, number) for number in range(60)]
    asked = [client.async_infer("shapes", given(batch)) for batch in batches]
    for batch, one in zip(batches, asked, strict=True):
        found = one.get_result().as_numpy("shape")
        np.testing.assert_allclose(found, model[1](batch), atol=1e-6)
    (stats,) = client.get_inference_statistics("shapes")["model_stats"]
    assert stats["inference_stats"]["success"]["count"] >= 60
    assert stats["execution_count"] <= stats["inference_count"]


@pytest.mark.parametrize(
    ("name", "inputs", "status", "words"),
    [
        ("shapes", given(np.zeros((2, 8, 8), "float32")), 400, "[?, 8, 8, 1]"),
        ("shapes", given(np.zeros((2, 8, 9, 1), "float32")), 400, "[?, 8, 8, 1]"),
        ("shapes", given(images(1).astype("float64"), datatype="FP64"), 400, "FP32"),
        ("shapes", given(images(1), name="picture"), 400, "no input 'picture'"),
        ("circles", given(images(1)), 404, "shapes"),
    ],
)
def test_what_does_not_fit_is_said(client, name, inputs, status, words):
    with pytest.raises(InferenceServerException) as refused:
        client.infer(name, inputs)
    assert refused.value.status() == str(status)
    assert words in refused.value.message()
