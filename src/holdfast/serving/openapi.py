"""The server's description of itself for programs: OpenAPI 3.1, served at /openapi.json.

Owns the paths and what each may answer. Leaves schemas of inputs and outputs to `serving/schemas`,
and the page that shows it to `serving/page`.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable
from typing import Any

from holdfast.judge.about import About
from holdfast.judge.signature import Signature
from holdfast.serving import schemas
from holdfast.types import Json

_ERRORS = {
    400: "the request is not what was expected; the error says what was, and what was found",
    401: "the token is missing, or another one",
    403: "the request's Host is none of this server's names",
    404: "there is no such path, model or version",
    405: "the path has no such method; Allow says which it has",
    406: "npy was asked for, and the model has several outputs",
    408: "the body did not come in time",
    413: "the body is larger than is taken",
    415: "the body's type or encoding is none of those taken",
    500: "a mistake of the server; the error has an id that its log has too",
    503: "too much is waiting, or the server is ending; Retry-After says when to come again",
    504: "it could not be answered in time",
}
_JUDGING = (400, 408, 413, 415, 503, 504)
_BINARY = (
    "Tensors may be sent and asked for as bytes (the protocol's binary extension): they follow the "
    "JSON, and the header Inference-Header-Content-Length has the length of the JSON. Numbers are "
    "little-endian; a text follows its length in 4 bytes."
)


def document(
    signature: Signature, about: About, name: str, *, secured: bool, most_body: int
) -> dict[str, Any]:
    """Return the document.

    Args:
        signature: of the model.
        about: what is known of it.
        name: by which the model is asked for.
        secured: whether a token is needed.
        most_body: bytes of a request that are taken.
    """
    model = f"/v2/models/{name}"
    version = {
        "name": "version",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "minLength": 1},
        "description": "the one that answers now; another is 404",
    }
    paths: dict[str, Json] = {
        "/predict": {"post": _predict(signature, about, most_body)},
        f"{model}/infer": {"post": _infer(signature, most_body)},
        **_told(signature, name),
        "/metrics": _page("what the server does, for Prometheus", "text/plain"),
        "/page.json": _get("What the page shows of the model", {"type": "object"}),
        "/openapi.json": _get("This document", {"type": "object"}),
    }
    for path in [path for path in paths if path.startswith(model)]:
        of_version = path.replace(model, f"{model}/versions/{{version}}", 1)
        paths[of_version] = {
            verb: _of_version(operation, version) for verb, operation in paths[path].items()
        }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"The model {name}",
            "version": importlib.metadata.version("holdfast"),
            "description": "POST /predict is for people and small programs. Paths below /v2 "
            "are the Open Inference Protocol, version 2, which existing clients speak.",
        },
        "paths": _answering(paths, secured),
        "components": {
            "schemas": {
                "InferRequest": schemas.infer_request(signature),
                "InferAnswer": schemas.infer_answer(signature),
                "PredictRequest": schemas.predict_request(signature),
                "PredictAnswer": schemas.predict_answer(signature, about.classes),
                "Error": {
                    "type": "object",
                    "required": ["error"],
                    "properties": {"error": {"type": "string"}},
                },
            },
            **({"securitySchemes": {"token": _TOKEN}} if secured else {}),
        },
    }


_TOKEN = {"type": "http", "scheme": "bearer", "description": "the server's token"}


def _predict(signature: Signature, about: About, most_body: int) -> Json:
    content: dict[str, Json] = {
        "application/json": {
            "schema": _to("PredictRequest"),
            "example": schemas.predict_example(signature),
        }
    }
    table = schemas.csv(signature)
    if table is not None:
        content["text/csv"] = {"schema": table}
    meaning = " ".join(f"{name}: {words}." for name, words in about.inputs.items())
    return {
        "summary": "Judge samples, from JSON, CSV, npy or an image",
        "description": "Samples as JSON or lines of CSV. An npy file (application/x-npy), an image "
        "(image/png, image/jpeg, …) and a form with such a file (multipart/form-data) are taken "
        "too. Accept chooses JSON, text/csv or application/x-npy. "
        f"At most {most_body} bytes. {meaning}".rstrip(),
        "operationId": "predict",
        "requestBody": {"required": True, "content": content},
        "responses": {
            "200": {
                "description": "a prediction for each sample",
                "headers": _VERSION,
                "content": {
                    "application/json": {"schema": _to("PredictAnswer")},
                    "text/csv": {"schema": {"type": "string"}},
                    "application/x-npy": {},
                },
            },
            **_errors((*_JUDGING, 406)),
        },
    }


def _infer(signature: Signature, most_body: int) -> Json:
    return {
        "summary": "Infer, by the Open Inference Protocol",
        "description": f"{_BINARY} At most {most_body} bytes.",
        "operationId": "infer",
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": _to("InferRequest"),
                    "example": schemas.infer_example(signature),
                }
            },
        },
        "responses": {
            "200": {
                "description": "the outputs",
                "headers": _VERSION,
                "content": {
                    "application/json": {"schema": _to("InferAnswer")},
                    "application/octet-stream": {},
                },
            },
            **_errors(_JUDGING),
        },
    }


_VERSION = {
    "Holdfast-Version": {"description": "of the model", "schema": {"type": "string"}},
}


def _told(signature: Signature, name: str) -> dict[str, Json]:
    """Return the paths that tell of the server and the model."""
    model = f"/v2/models/{name}"
    tensors = {
        "type": "array",
        "items": _object(
            name={"type": "string"},
            datatype={"type": "string"},
            shape={"type": "array", "items": {"type": "integer", "minimum": -1}},
        ),
    }
    texts = {"type": "array", "items": {"type": "string"}}
    text = {"type": "string"}
    model_told = _object(name=text, versions=texts, platform=text, inputs=tensors, outputs=tensors)
    configured = {"type": "array", "items": _object(name=text, data_type=text)}
    ready = _get("Whether the server takes requests", _object(ready={"type": "boolean"}), False)
    model_ready = _get("Whether the model is ready", _object(ready={"type": "boolean"}), False)
    for told in (ready, model_ready):
        told["get"]["responses"]["503"] = {
            "description": "it is ending",
            "content": {"application/json": {"schema": {"type": "object"}}},
        }
    stats = _object(model_stats={"type": "array", "items": _object(name=text, version=text)})
    index = _object(name=text, version=text, state=text)
    return {
        model: _get("What the model takes and gives", model_told),
        f"{model}/ready": model_ready,
        f"{model}/config": _get(
            "The model's configuration, as Triton has it",
            _object(name=text, max_batch_size={"type": "integer"}, input=configured),
        ),
        f"{model}/stats": _get("What was done with the model", stats),
        "/v2": _get("What the server is", _object(name=text, version=text, extensions=texts)),
        "/v2/health/live": _get(
            "Whether the server lives", _object(live={"type": "boolean"}), False
        ),
        "/v2/health/ready": ready,
        "/v2/models/stats": _get("What was done with the models", stats),
        "/v2/repository/index": {
            "post": {
                "summary": "Which models there are: one",
                "responses": {
                    "200": {
                        "description": "the models",
                        "content": {
                            "application/json": {"schema": {"type": "array", "items": index}}
                        },
                    }
                },
            }
        },
    }


def _get(summary: str, schema: Json, guarded: bool = True) -> dict[str, Json]:
    told = {"200": {"description": summary, "content": {"application/json": {"schema": schema}}}}
    operation: dict[str, Json] = {"summary": summary, "responses": told}
    if not guarded:
        operation["security"] = []
    return {"get": operation}


def _page(summary: str, kind: str) -> dict[str, Json]:
    return {
        "get": {
            "summary": summary.capitalize(),
            "responses": {
                "200": {"description": summary, "content": {kind: {"schema": {"type": "string"}}}}
            },
        }
    }


def _of_version(operation: dict[str, Json], version: Json) -> dict[str, Json]:
    """Return the same operation, of a version that its path names."""
    told = {**operation, "parameters": [version]}
    told["summary"] = f"{operation['summary']} (of one version)"
    told["responses"] = {**operation["responses"], **_errors([404])}
    told.pop("operationId", None)
    return told


def _answering(paths: dict[str, Json], secured: bool) -> dict[str, Json]:
    """Return paths with what every one of them may answer, and whether it needs the token."""
    for operations in paths.values():
        for operation in operations.values():
            free = operation.get("security") == []
            everywhere = [403, 405, 500] if free or not secured else [401, 405, 500]
            operation["responses"] = {**operation["responses"], **_errors(everywhere)}
            if secured and not free:
                operation["security"] = [{"token": []}]
            else:
                operation.pop("security", None)
    return paths


def _errors(statuses: Iterable[int]) -> dict[str, Json]:
    return {
        str(status): {
            "description": _ERRORS[status],
            "content": {"application/json": {"schema": _to("Error")}},
        }
        for status in statuses
    }


def _object(**properties: Json) -> dict[str, Json]:
    return {"type": "object", "required": list(properties), "properties": properties}


def _to(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}
