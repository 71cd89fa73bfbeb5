"""What a server reads and writes, from bytes to arrays and back; without a server."""

import io
import json
import struct
import sys

import ml_dtypes
import numpy as np
import pytest
import tritonclient.http as triton
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.judge.about import About, Layer
from holdfast.judge.signature import Signature, Tensor
from holdfast.serving import answers, json_text, metadata, people, protocol
from holdfast.serving.refusal import RequestError

IMAGE = Signature(
    (Tensor("image", (None, 2, 3), "float32"),), (Tensor("digit", (None, 3), "float32"),)
)
TWO = Signature(
    (Tensor("a", (None, 2), "int64"), Tensor("words", (None,), "string")),
    (Tensor("kind", (None, 3), "float32"), Tensor("size", (None, 1), "float64")),
)
FREE = Signature((Tensor("x", (None, None), "float32"),), (Tensor("y", (None, 2), "float32"),))
KINDS = [
    ("bool", "BOOL", [True, False]),
    ("uint8", "UINT8", [0, 255]),
    ("uint64", "UINT64", [0, 2**64 - 1]),
    ("int8", "INT8", [-128, 127]),
    ("int64", "INT64", [-(2**63), 2**63 - 1]),
    ("float16", "FP16", [0.5, -2.0]),
    ("float32", "FP32", [0.1, -3e38]),
    ("float64", "FP64", [0.1, -1e308]),
    ("bfloat16", "BF16", [0.5, -2.0]),
    ("string", "BYTES", ["höld", ""]),
]
ABOUT = About(name="shapes", classes=("round", "square", "long"))


def infer(signature, **request):
    return protocol.read_infer(json.dumps(request).encode(), None, signature)


def part(data, shape=(1, 2, 3), datatype="FP32", name="image", **more):
    return {"name": name, "shape": list(shape), "datatype": datatype, "data": data, **more}


def triton_request(inputs, outputs=None, **more):
    body, length = triton.InferenceServerClient.generate_request_body(inputs, outputs, **more)
    return body, length


def triton_answer(request, outputs, classes=()):
    body, length = protocol.write_infer(request, outputs, "shapes", "7", classes)
    return triton.InferenceServerClient.parse_response_body(body, header_length=length)


def triton_input(name, array, datatype, binary):
    value = triton.InferInput(name, list(array.shape), datatype)
    value.set_data_from_numpy(array, binary_data=binary)
    return value


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize(("dtype", "datatype", "values"), KINDS)
def test_every_datatype_goes_from_tritons_client_to_the_model_and_back(
    dtype, datatype, values, binary
):
    if dtype == "bfloat16" and not binary:
        pytest.skip("the client sends BF16 as bytes alone")
    signature = Signature((Tensor("x", (None, 1), dtype),), (Tensor("x", (None, 1), dtype),))
    kind = {"string": object, "bfloat16": ml_dtypes.bfloat16}.get(dtype, dtype)
    array = np.array(values, dtype=kind).reshape(2, 1)
    body, length = triton_request(
        [triton_input("x", array, datatype, binary)],
        [triton.InferRequestedOutput("x", binary_data=binary)],
        request_id="r",
    )
    request = protocol.read_infer(body, length, signature)
    assert request.feed["x"].dtype == kind
    assert request.feed["x"].tolist() == array.tolist()
    result = triton_answer(request, request.feed)
    found = result.as_numpy("x")
    if dtype == "string" and binary:
        found = np.array([text.decode() for text in found.ravel()], dtype=object).reshape(2, 1)
    assert found.tolist() == array.tolist()
    response = result.get_response()
    assert (response["id"], response["model_name"], response["model_version"]) == (
        "r",
        "shapes",
        "7",
    )


def test_several_inputs_may_be_bytes_and_json_in_one_request():
    a = np.array([[1, 2], [3, 4], [5, 6]], dtype=np.int64)
    words = np.array(["x", "yy", "zzz"], dtype=object)
    inputs = [triton_input("words", words, "BYTES", False), triton_input("a", a, "INT64", True)]
    body, length = triton_request(inputs)
    request = protocol.read_infer(body, length, TWO)
    assert request.feed["a"].tolist() == a.tolist()
    assert request.feed["words"].tolist() == ["x", "yy", "zzz"]
    outputs = {"kind": np.eye(3, dtype="float32"), "size": np.array([[0.1], [0.2], [0.3]])}
    result = triton_answer(request, outputs)
    assert [result.as_numpy(name).tolist() for name in outputs] == [
        array.tolist() for array in outputs.values()
    ]
    request = protocol.read_infer(
        *triton_request(inputs, [triton.InferRequestedOutput("size")]), TWO
    )
    assert [
        output["name"] for output in triton_answer(request, outputs).get_response()["outputs"]
    ] == ["size"]


@pytest.mark.parametrize("binary", [False, True])
def test_classification_gives_the_best_classes_by_value_place_and_name(binary):
    wanted = triton.InferRequestedOutput("digit", binary_data=binary, class_count=2)
    image = triton_input("image", np.zeros((2, 2, 3), "float32"), "FP32", True)
    request = protocol.read_infer(*triton_request([image], [wanted]), IMAGE)
    outputs = {"digit": np.array([[0.25, 0.5, 0.25], [0, 0.25, 0.75]], "float32")}

    def best(classes):
        texts = triton_answer(request, outputs, classes).as_numpy("digit").tolist()
        return [
            [getattr(text, "decode", lambda text=text: text)() for text in row] for row in texts
        ]

    assert best(ABOUT.classes) == [
        ["0.5:1:square", "0.25:0:round"],
        ["0.75:2:long", "0.25:1:square"],
    ]
    assert best(()) == [["0.5:1", "0.25:0"], ["0.75:2", "0.25:1"]]


def test_data_may_be_flat_or_nested_like_the_shape():
    flat = infer(IMAGE, inputs=[part([1, 2, 3, 4, 5, 6])])
    nested = infer(IMAGE, inputs=[part([[[1, 2, 3], [4, 5, 6.0]]])])
    assert flat.feed["image"].tolist() == nested.feed["image"].tolist() == [[[1, 2, 3], [4, 5, 6]]]
    assert flat.id is None
    assert flat.wanted == (protocol.Wanted("digit"),)
    assert infer(IMAGE, inputs=[part([0] * 6)], parameters={"priority": 1}, outputs=[]).wanted


def test_an_answer_is_json_whatever_the_numbers_are():
    request = infer(IMAGE, inputs=[part([0] * 6)], id="ü")
    outputs = {"digit": np.array([[np.nan, np.inf, 0.1]], "float32")}
    body, length = protocol.write_infer(request, outputs, "m", "1")
    assert length is None

    def never(word):
        raise AssertionError(word)

    answer = json.loads(body, parse_constant=never)
    assert answer["id"] == "ü"
    assert answer["outputs"][0]["data"][:2] == [None, None]
    assert np.float32(answer["outputs"][0]["data"][2]) == np.float32(0.1)


@pytest.mark.parametrize("number", ["1e400", "-1E+0400", "1" + "0" * 310 + ".0", "1" + "0" * 310])
def test_a_number_beyond_all_floats_is_refused(number):
    with pytest.raises(RequestError, match="beyond what"):
        people.read("application/json", f"[NaN,2,3,4,5,{number}]".encode(), IMAGE, ABOUT)


def test_nan_and_infinity_are_taken():
    body = (
        b'{"inputs":[{"name":"x","shape":[1,3],"datatype":"FP32","data":[NaN,Infinity,-Infinity]}]}'
    )
    feed = protocol.read_infer(body, None, FREE).feed
    np.testing.assert_array_equal(feed["x"], [[np.nan, np.inf, -np.inf]])


SIX = [0.0] * 6
REFUSED = [
    ({}, 'no "inputs"'),
    ({"inputs": {}}, "inputs: expected a list"),
    ({"inputs": []}, "image was not given"),
    ({"inputs": [3]}, "an input: expected an object"),
    ({"inputs": [part(SIX, name="imag")]}, "did you mean 'image'"),
    ({"inputs": [part(SIX, name="i" * 5000)]}, "expected 1000 letters at most"),
    ({"inputs": [part(SIX, name=None)]}, "expected a text as 'name'"),
    ({"inputs": [part(SIX), part(SIX)]}, "image is given twice"),
    ({"inputs": [part(SIX, datatype="FP64")]}, "expected datatype FP32, found 'FP64'"),
    ({"inputs": [part(SIX, shape=(1, 3, 2))]}, r"expected shape \[\?, 2, 3\].*found \[1, 3, 2\]"),
    ({"inputs": [part([], shape=(0, 2, 3))]}, r"found \[0, 2, 3\]"),
    ({"inputs": [part(SIX, shape=(-1, 2, 3))]}, "expected a whole number, 0 or more, found -1"),
    ({"inputs": [part(SIX, shape=(10**30, 2, 3))]}, "expected a whole number"),
    ({"inputs": [part(SIX, shape=(True, 2, 3))]}, "expected a whole number"),
    ({"inputs": [part(SIX, shape=(2**62, 2, 3))]}, r"found \[6\]"),
    ({"inputs": [part(SIX[:5])]}, r"expected 6 values for the shape \[1, 2, 3\].*found \[5\]"),
    ({"inputs": [part([[[1, 2], [3, 4], [5, 6]]])]}, r"found \[1, 3, 2\]"),
    ({"inputs": [part([[[1, 2, 3], [4, 5]]])]}, "expected lists of one length at depth 3"),
    ({"inputs": [part([[[1, 2, 3], 4]])]}, "expected lists alone at depth 2"),
    ({"inputs": [part(["1", 2, 3, 4, 5, 6])]}, "expected numbers, found text"),
    ({"inputs": [part([True, 2, 3, 4, 5, 6])]}, "expected numbers, found true or false"),
    ({"inputs": [part([None, 2, 3, 4, 5, 6])]}, "expected numbers, found null"),
    ({"inputs": [part([1e39, 2, 3, 4, 5, 6])]}, "beyond what float32 holds"),
    ({"inputs": [part([3.402823466385289e38, 2, 3, 4, 5, 6])]}, "beyond what float32 holds"),
    ({"inputs": [part([10**400, 2, 3, 4, 5, 6])]}, "beyond what float32 holds"),
    ({"inputs": [part("123456")]}, "expected a list, found text"),
    (
        {"inputs": [part(SIX, parameters={"binary_data_size": 24})]},
        "Inference-Header-Content-Length",
    ),
    ({"inputs": [part(SIX, parameters={"shared_memory_region": "r"})]}, "shares no memory"),
    ({"inputs": [part(SIX, parameters=[])]}, "image: parameters: expected an object"),
    ({"inputs": [{"name": "image", "shape": [1, 2, 3], "datatype": "FP32"}]}, "found neither"),
    ({"inputs": [part(SIX)], "id": 7}, "expected a text as 'id'"),
    ({"inputs": [part(SIX)], "outputs": [{"name": "digits"}]}, "did you mean 'digit'"),
    ({"inputs": [part(SIX)], "outputs": [{"name": "digit"}] * 2}, "asked for twice"),
    (
        {
            "inputs": [part(SIX)],
            "outputs": [{"name": "digit", "parameters": {"classification": -1}}],
        },
        "classification: expected a whole number",
    ),
    ({"inputs": [part(SIX)], "parameters": {"binary_data_output": 1}}, "expected true or false"),
]


@pytest.mark.parametrize(("request_", "words"), REFUSED)
def test_what_is_not_of_the_protocol_is_refused_with_what_was_expected(request_, words):
    with pytest.raises(RequestError, match=words) as refused:
        infer(IMAGE, **request_)
    assert refused.value.status == 400
    assert set(json.loads(refused.value.body())) == {"error"}
    assert len(refused.value.body()) < 2000


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ([2**63, 0], "beyond what int64 holds"),
        ([0.5, 0], "expected whole numbers, found 0.5"),
        ([float("nan"), 0], "expected whole numbers"),
        ([True, 0], "expected whole numbers, found true or false"),
    ],
)
def test_whole_numbers_are_whole(numbers, words):
    words_part = part(["w"], (1,), "BYTES", "words")
    good = infer(TWO, inputs=[part([1.0, 2**63 - 1], (1, 2), "INT64", "a"), words_part])
    assert good.feed["a"].tolist() == [[1, 2**63 - 1]]
    with pytest.raises(RequestError, match=words):
        infer(TWO, inputs=[part(numbers, (1, 2), "INT64", "a"), words_part])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"1" * 5000,
        b'{"id": "\\ud800", "inputs": []}',
        b"null",
        b"[]",
        b'"inputs"',
    ],
)
def test_what_is_no_object_of_json_is_refused(body):
    for length in (None, len(body)):
        with pytest.raises(RequestError):
            protocol.read_infer(body, length, IMAGE)
    with pytest.raises(RequestError):
        people.read("application/json", body, IMAGE, ABOUT)


def binary(sizes, tail, **more):
    head = json.dumps(
        {
            "inputs": [
                {
                    "name": "a",
                    "shape": [2, 2],
                    "datatype": "INT64",
                    "parameters": {"binary_data_size": sizes[0]},
                },
                {
                    "name": "words",
                    "shape": [2],
                    "datatype": "BYTES",
                    "parameters": {"binary_data_size": sizes[1]},
                },
            ],
            **more,
        }
    ).encode()
    return protocol.read_infer(head + tail, len(head), TWO)


def test_bytes_that_are_not_those_of_the_tensors_are_refused():
    words = struct.pack("<I", 1) + b"x" + struct.pack("<I", 2) + "é".encode()
    assert binary((32, 11), bytes(32) + words).feed["words"].tolist() == ["x", "é"]
    for sizes, tail, said in [
        ((31, 11), bytes(31) + words, "expected 32 bytes for INT64"),
        ((32, 12), bytes(32) + words, "the body has 11 bytes left"),
        ((32, 11), bytes(32) + words + b"!", "1 bytes in the body belong to no input"),
        ((32, 10), bytes(32) + words[:10], "is to have 2 bytes, and 1 are left"),
        ((32, 5), bytes(32) + words[:5], "expected 2 texts"),
        ((32, 12), bytes(32) + words + b"!", "expected 2 texts"),
        ((32, 11), bytes(32) + words[:-2] + b"\xff\xff", "text 1 is not UTF-8"),
        ((32, -1), bytes(32) + words, "expected a whole number"),
        ((32, "11"), bytes(32) + words, "expected a whole number"),
    ]:
        with pytest.raises(RequestError, match=said):
            binary(sizes, tail)
    with pytest.raises(RequestError, match="the body has 2"):
        protocol.read_infer(b"{}", 3, TWO)


@pytest.mark.parametrize("value", ["x", "-1", "1.5", "", "9" * 20, "٣", b"\xb2"])
def test_a_length_of_the_header_that_is_no_number_is_refused(value):
    assert protocol.header_length(None) is None
    assert protocol.header_length(b"12") == 12
    with pytest.raises(RequestError, match="expected a number of bytes"):
        protocol.header_length(value)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["name", "shape", "datatype", "data", "parameters", "inputs", "image", "x"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
PART = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["image", "digit"]) | VALUES,
        "shape": st.just([1, 2, 3]) | st.lists(st.integers() | st.floats(), max_size=4) | VALUES,
        "datatype": st.just("FP32") | VALUES,
        "data": st.lists(st.floats() | st.integers() | VALUES, min_size=6, max_size=6) | VALUES,
        "parameters": st.dictionaries(
            st.sampled_from(["binary_data_size", "binary_data", "classification"]),
            VALUES,
            max_size=2,
        )
        | VALUES,
    },
)
REQUEST = st.fixed_dictionaries(
    {"inputs": st.lists(PART, max_size=2) | VALUES},
    optional={"outputs": st.lists(PART, max_size=2) | VALUES, "parameters": VALUES, "id": VALUES},
)


def read_or_refused(read, *arguments):
    """Return what is read, or None where it is refused; any other error is the test's end."""
    try:
        return read(*arguments)
    except RequestError as refused:
        if refused.status not in (400, 415) or not json.loads(refused.body())["error"]:
            raise
        return None


@settings(max_examples=200, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(REQUEST, st.binary(max_size=40), st.none() | st.integers(0, 400))
def test_any_request_is_read_or_refused(request_, tail, cut):
    body = json.dumps(request_).encode()
    request = read_or_refused(
        protocol.read_infer, body + tail, len(body) if cut is None else cut, IMAGE
    )
    if request is not None:
        assert request.feed["image"].shape == (1, 2, 3)
        outputs = {"digit": np.zeros((1, 3), "float32")}
        text, length = protocol.write_infer(request, outputs, "m", "1")
        assert json.loads(text[:length])["outputs"]


@settings(max_examples=300, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(
        ["application/json", "text/csv", "application/x-npy", "multipart/form-data; boundary=b", ""]
    ),
    VALUES.map(lambda value: json.dumps(value).encode())
    | st.binary(max_size=60)
    | st.text('0123456789,.-\n;"ab', max_size=40).map(str.encode)
    | st.binary(max_size=60).map(lambda rest: b"\x93NUMPY\x01\x00\x40\x00" + rest)
    | st.binary(max_size=30).map(
        lambda rest: b'--b\r\nContent-Disposition: x; filename="f"\r\n\r\n' + rest
    ),
)
def test_anything_that_people_send_is_read_or_refused(kind, body):
    for signature in (IMAGE, TWO, FREE):
        feed = read_or_refused(people.read, kind, body, signature, ABOUT)
        assert feed is None or all(len(array) for array in feed.values())


ROWS = np.arange(12, dtype="float32").reshape(2, 2, 3)


def npy(array, **more):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, allow_pickle=True, **more)
    return file.getvalue()


@pytest.mark.parametrize(
    "body",
    [
        {"inputs": ROWS.tolist()},
        {"instances": ROWS.tolist()},
        {"inputs": {"image": ROWS.tolist()}},
        {"image": ROWS.tolist()},
        {"inputs": [{"image": row.tolist()} for row in ROWS]},
        ROWS.tolist(),
        ROWS.reshape(2, 6).tolist(),
    ],
)
def test_people_may_say_the_same_in_many_ways(body):
    read = people.read("application/json; charset=utf-8", json.dumps(body).encode(), IMAGE, ABOUT)
    assert read["image"].tolist() == ROWS.tolist()


@pytest.mark.parametrize(
    "body", [ROWS[0].tolist(), {"inputs": ROWS[0].ravel().tolist()}, [{"image": ROWS[0].tolist()}]]
)
def test_people_may_send_one_sample_alone(body):
    assert (
        people.read("", json.dumps(body).encode(), IMAGE, ABOUT)["image"].tolist()
        == ROWS[:1].tolist()
    )


def test_people_may_send_csv_npy_and_a_file_of_a_form():
    table = "\n".join(",".join(map(str, row)) for row in ROWS.reshape(2, 6)).encode()
    form = (
        b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n1\r\n--b\r\nContent-Disposition: '
    )
    form += (
        b'form-data; name="f"; filename="r"\r\nContent-Type: text/csv\r\n\r\n'
        + table
        + b"\r\n--b--\r\n"
    )
    for kind, body in [
        ("text/csv", table),
        ("text/csv", b"a,b,c,d,e,f\n" + table),
        ("application/x-npy", npy(ROWS)),
        ("application/octet-stream", npy(ROWS.astype(">f8"))),
        ("application/x-www-form-urlencoded", npy(np.asfortranarray(ROWS))),
        ("application/x-npy", npy(ROWS.astype("int16"), version=(2, 0))),
        ("multipart/form-data; boundary=b", form),
    ]:
        read = people.read(kind, body, IMAGE, ABOUT)["image"]
        assert (read.tolist(), read.dtype) == (ROWS.tolist(), np.dtype("float32"))


def test_people_may_send_an_image():
    from PIL import Image

    pixels = np.array([[0, 51, 255], [255, 102, 0]], np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    read = people.read("image/png", file.getvalue(), IMAGE, ABOUT)["image"]
    np.testing.assert_allclose(read, pixels[None] / 255, atol=1e-6)
    scaling = About(layers=(Layer("scale", "Rescaling", None, 0),))
    np.testing.assert_allclose(
        people.read("image/png", file.getvalue(), IMAGE, scaling)["image"], pixels[None]
    )
    with pytest.raises(RequestError, match="the body: expected an image"):
        people.read("image/png", b"GIF89a, it is not", IMAGE, ABOUT)


def test_inputs_by_name_and_samples_by_name():
    wanted = {"a": [[1, 2], [3, 4]], "words": ["x", "y"]}
    rows = [{"a": [1, 2], "words": "x"}, {"a": [3, 4], "words": "y"}]
    for body in (wanted, {"inputs": wanted}, {"instances": rows}, rows):
        read = people.read("application/json", json.dumps(body).encode(), TWO, ABOUT)
        assert {name: array.tolist() for name, array in read.items()} == wanted
    one = people.read("application/json", b'{"a": [1, 2], "words": "x"}', TWO, ABOUT)
    assert {name: array.tolist() for name, array in one.items()} == {"a": [[1, 2]], "words": ["x"]}


class Evil:
    def __reduce__(self):
        raise AssertionError("it was pickled")


HUGE = npy(np.zeros((1, 2, 3), "float32")).replace(b"(1, 2, 3)", b"(9**9,3) ")
LARGE = npy(np.zeros((1, 2, 3), "float32")).replace(b"(1, 2, 3), }    ", b"(99999999999,), ")


@pytest.mark.parametrize(
    ("kind", "body", "words"),
    [
        (
            "application/json",
            b"[[1,2,3]]",
            r"image: expected samples of float32\[2, 3\].*found \[1, 3\]",
        ),
        ("application/json", b"[]", r"found \[0\]"),
        ("application/json", b"7", r"found \[1\]"),
        ("application/json", b'{"imag": 1}', "did you mean 'image'"),
        ("application/json", b"[" * 40 + b"]" * 40, "lists 40 deep"),
        (
            "application/json",
            b'[{"image": 1}, {"digit": 1}]',
            "sample 1: expected the names of the first",
        ),
        ("text/csv", b"1,2,3\n4,5,6", "image"),
        ("text/csv", b"1,2,3,4,5,x", "line 1"),
        ("text/csv", b"1,2,3,4,5,1e39", "line 1, column 6: .*float32 holds, found '1e39'"),
        ("text/csv", b'"1",2,3,4,5,1e400', "line 1, column 6: .*float32 holds, found '1e400'"),
        ("text/csv", b"\xff", "UTF-8"),
        ("text/csv", b"", "no rows"),
        ("text/csv", b'""', "expected numbers, found nothing"),
        ("text/csv", b"," * 100_000, "expected 6 columns of CSV, found 100001"),
        ("text/csv", b"1,2,3,4,5,6,7\n", r"the body: expected columns.*found 7; send these alone"),
        ("application/x-npy", npy(np.array([{}])), "npy file of numbers"),
        ("application/x-npy", npy(ROWS)[:-1], "found 47"),
        ("application/x-npy", npy(ROWS) + b"!", "found 49"),
        ("application/x-npy", npy(ROWS[:, :1]), r"found \[2, 1, 3\]"),
        ("application/x-npy", npy(ROWS[:0]), "one sample or more"),
        ("application/x-npy", HUGE, "header"),
        ("application/x-npy", LARGE, "header"),
        ("application/x-npy", b"PK", "does not begin like one"),
        ("multipart/form-data", b"", "expected a boundary"),
        ("multipart/form-data; boundary=b", b"--b--", "expected a file"),
    ],
)
def test_what_people_may_not_send(kind, body, words):
    with pytest.raises(RequestError, match=words) as refused:
        people.read(kind, body, IMAGE, ABOUT)
    assert refused.value.status == 400


def test_images_without_pillow_are_refused_by_the_extras_name(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)  # as Python has it where importing fails
    with pytest.raises(RequestError, match=r"holdfast\[images\]") as refused:
        people.read("image/png", b"\x89PNG", IMAGE, ABOUT)
    assert refused.value.status == 415


def test_a_type_that_is_not_taken_is_another_refusal():
    with pytest.raises(
        RequestError, match=r"expected application/json, text/csv.*found 'text/html'"
    ) as refused:
        people.read("text/html", b"<p>", IMAGE, ABOUT)
    assert refused.value.status == 415


def answer(outputs, about=ABOUT, accept="*/*"):
    kind, body = answers.write(outputs, about, "9", accept)
    return json.loads(body) if kind == "application/json" else body


PROBABLE = {"digit": np.array([[0.25, 0.5, 0.25], [0, 0.25, 0.75]], "float32")}


def test_an_answer_names_the_class_of_each_row():
    assert answer(PROBABLE) == {
        "model": "shapes",
        "version": "9",
        "predictions": [
            {"class": "square", "probability": 0.5, "outputs": {"digit": [0.25, 0.5, 0.25]}},
            {"class": "long", "probability": 0.75, "outputs": {"digit": [0, 0.25, 0.75]}},
        ],
    }
    assert [row["class"] for row in answer(PROBABLE, About())["predictions"]] == [1, 2]
    scores = {"digit": PROBABLE["digit"] * 8}
    assert answer(scores)["predictions"][0] == {"class": "square", "outputs": {"digit": [2, 4, 2]}}
    assert answer(scores, About())["predictions"][0] == {"outputs": {"digit": [2, 4, 2]}}
    broken = {"digit": np.array([[np.nan, 1, 0]], "float32")}
    assert answer(broken)["predictions"] == [{"class": None, "outputs": {"digit": [None, 1, 0]}}]


def test_one_number_is_of_two_classes_where_two_are_named():
    outputs = {"p": np.array([[0.75], [0.25]], "float32")}
    rows = answer(outputs, About(classes=("no", "yes")))["predictions"]
    assert [(row["class"], row["probability"]) for row in rows] == [("yes", 0.75), ("no", 0.75)]
    assert answer(outputs, About())["predictions"] == [
        {"outputs": {"p": [0.75]}},
        {"outputs": {"p": [0.25]}},
    ]


def test_an_answer_may_be_csv_or_npy():
    kind, body = answers.write(PROBABLE, ABOUT, "9", "text/html, text/csv;q=0.9")
    assert kind == "text/csv; charset=utf-8"
    assert body.decode() == (
        "class,probability,round,square,long\nsquare,0.5,0.25,0.5,0.25\nlong,0.75,0.0,0.25,0.75\n"
    )
    several = {**PROBABLE, "size": np.array([1.5, 2.5])}
    head = answers.write(several, ABOUT, "9", "text/csv")[1].decode().splitlines()[:2]
    many = {"size": np.arange(3000.0)}
    lines = answers.write(many, About(), "9", "text/csv")[1].decode().split()
    assert lines == ["size", *(f"{at}.0" for at in range(3000))]
    assert head == [
        "class,probability,digit_round,digit_square,digit_long,size",
        "square,0.5,0.25,0.5,0.25,1.5",
    ]
    found = np.load(io.BytesIO(answer(PROBABLE, accept="application/x-npy")))
    np.testing.assert_array_equal(found, PROBABLE["digit"])
    with pytest.raises(RequestError, match="room for one output") as refused:
        answer(several, accept="application/x-npy")
    assert refused.value.status == 406


def test_json_is_the_same_with_and_without_the_faster_library(monkeypatch):
    values = {
        "a": PROBABLE["digit"],
        "b": np.array([np.inf, 1]),
        "c": ["é", None, 1],
        "d": np.float32(0.5),
    }
    fast = json.loads(json_text.write(values))
    monkeypatch.setattr(json_text, "_fast", None)
    assert json.loads(json_text.write(values)) == fast
    assert json_text.read(memoryview(b'{"a": [1, 2.5]}')) == {"a": [1, 2.5]}


@pytest.mark.parametrize("nothing", [b"[]", b"{}"])
def test_json_of_more_lists_than_can_be_read_in_time_is_refused(nothing, monkeypatch):
    def text(count):
        return b"[" + b",".join([nothing] * (count - 1)) + b"]"

    with pytest.raises(RequestError, match=r"1048576 lists and objects at most.*found 1048577"):
        json_text.read(memoryview(text(1_048_577)))
    monkeypatch.setattr(json_text, "MOST_LISTS", 1000)
    assert len(json_text.read(text(1000))) == 999
    with pytest.raises(RequestError, match="found 1001: send samples as flat lists, or binary"):
        json_text.read(text(1001))


def test_metadata_says_what_a_client_needs():
    told = metadata.model(TWO, "two", "3")
    assert told["inputs"] == [
        {"name": "a", "datatype": "INT64", "shape": [-1, 2]},
        {"name": "words", "datatype": "BYTES", "shape": [-1]},
    ]
    config = metadata.config(TWO, "two", "3", 64)
    assert config["max_batch_size"] == 64
    assert config["input"][1] == {"name": "words", "data_type": "TYPE_STRING", "dims": []}
    counts = metadata.Counts(requests=2, executions=1, rows=5, run_seconds=0.5)
    stats = metadata.statistics("two", "3", counts)["model_stats"][0]
    assert stats["inference_count"] == 5
    assert stats["inference_stats"]["compute_infer"] == {"count": 1, "ns": 500_000_000}
    assert "memory" in metadata.not_here("/v2/systemsharedmemory/status")
    json.dumps([metadata.server(), metadata.index("two", "3"), told, config])
