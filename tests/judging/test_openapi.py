"""What the server says of itself: what it describes is taken, what it answers is described."""

import json

import jsonschema_rs
import numpy as np
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from holdfast.judge.about import About
from holdfast.judge.signature import Signature, Tensor
from holdfast.serving import answers, openapi, people, protocol

CLASSIFIER = Signature(
    (Tensor("image", (None, 2, 2, 1), "float32"),), (Tensor("digit", (None, 3), "float32"),)
)
MIXED = Signature(
    (
        Tensor("count", (None, 2), "uint8"),
        Tensor("word", (None,), "string"),
        Tensor("flag", (None, 1), "bool"),
        Tensor("half", (None, 2), "float16"),
    ),
    (Tensor("size", (None, 1), "float64"), Tensor("words", (None, None), "string")),
)
FREE = Signature(
    (Tensor("tokens", (None, None), "int32"),), (Tensor("y", (None, None, 2), "float32"),)
)
FIXED = Signature((Tensor("x", (3, 2), "float32"),), (Tensor("y", (3, 1), "float32"),))
SIGNATURES = {"classifier": CLASSIFIER, "mixed": MIXED, "free": FREE, "fixed": FIXED}
ABOUT = About(name="m", classes=("a", "b", "c"), inputs={"image": "a small picture"})


def document(signature, about=ABOUT, secured=False):
    return openapi.document(signature, about, "m", secured=secured, most_body=1 << 20)


def schema(described, name):
    return {"$ref": f"#/components/schemas/{name}", "components": described["components"]}


@pytest.mark.parametrize("name", SIGNATURES)
def test_what_the_document_describes_is_taken(name):
    signature = SIGNATURES[name]
    described = schemathesis.openapi.from_dict(document(signature))
    requests = [
        described[path]["POST"].as_strategy() for path in ("/v2/models/m/infer", "/predict")
    ]

    @settings(
        max_examples=40,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(*requests)
    def taken(infer, predict):
        protocol.read_infer(json.dumps(infer.body).encode(), None, signature)
        kind = predict.media_type
        text = predict.body if kind == "text/csv" else json.dumps(predict.body)
        people.read(kind, text.encode(), signature, ABOUT)

    taken()


@pytest.mark.parametrize("name", SIGNATURES)
def test_the_examples_are_taken(name):
    signature = SIGNATURES[name]
    paths = document(signature)["paths"]
    assert set(paths) >= {"/predict", "/v2/models/m/infer", "/v2/models/m/versions/{version}/infer"}
    for path, read, component in [
        ("/predict", lambda body: people.read("", body, signature, ABOUT), "PredictRequest"),
        (
            "/v2/models/m/infer",
            lambda body: protocol.read_infer(body, None, signature),
            "InferRequest",
        ),
    ]:
        content = paths[path]["post"]["requestBody"]["content"]
        example = content["application/json"]["example"]
        jsonschema_rs.validate(schema(document(signature), component), example)
        read(json.dumps(example).encode())


@settings(max_examples=30, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_the_lines_of_csv_that_are_described_are_taken(data):
    for signature in (CLASSIFIER, FREE):
        content = document(signature)["paths"]["/predict"]["post"]["requestBody"]["content"]
        text = data.draw(st.from_regex(content["text/csv"]["schema"]["pattern"], fullmatch=True))
        people.read("text/csv", text.encode(), signature, ABOUT)


@pytest.mark.parametrize("classes", [("a", "b", "c"), ()])
def test_what_is_answered_is_described(classes):
    about = About(name="m", classes=classes)
    described = document(CLASSIFIER, about)
    request = protocol.read_infer(
        json.dumps(
            described["paths"]["/v2/models/m/infer"]["post"]["requestBody"]["content"][
                "application/json"
            ]["example"]
        ).encode(),
        None,
        CLASSIFIER,
    )
    for row in ([0.25, 0.5, 0.25], [np.nan, 1, 0], [5, -5, np.inf]):
        outputs = {"digit": np.array([row], "float32")}
        body, _ = protocol.write_infer(request, outputs, "m", "1", classes)
        jsonschema_rs.validate(schema(described, "InferAnswer"), json.loads(body))
        _, body = answers.write(outputs, about, "1", "application/json")
        jsonschema_rs.validate(schema(described, "PredictAnswer"), json.loads(body))
    with pytest.raises(jsonschema_rs.ValidationError):
        jsonschema_rs.validate(schema(described, "PredictAnswer"), {"model": "m"})


def test_the_token_is_told_of_where_one_is_needed():
    guarded, open_ = document(CLASSIFIER, secured=True), document(CLASSIFIER)
    for path, operations in guarded["paths"].items():
        for operation in operations.values():
            free = path in ("/v2/health/live", "/v2/health/ready") or path.endswith("/ready")
            assert ("security" in operation, "401" in operation["responses"]) == (
                not free,
                not free,
            )
    assert "security" not in json.dumps(open_).lower()
    assert "401" not in open_["paths"]["/predict"]["post"]["responses"]
    assert "a small picture" in open_["paths"]["/predict"]["post"]["description"]
