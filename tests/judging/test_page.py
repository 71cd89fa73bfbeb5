"""The page at `/` in a real browser, before real servers: drawn on, typed in, by keyboard."""

import json
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from holdfast import judge
from holdfast.judge.about import About, Layer, to_json
from holdfast.judge.carried import KEY
from holdfast.judge.signature import Tensor
from holdfast.serving import page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
PHONE = {"width": 360, "height": 740}
DESK = {"width": 1180, "height": 900}
HOSTILE = "<b onclick=alert(1)>high</b>"
TOKEN = "a-token"
SERVE = "import sys; from holdfast.cli.main import main; sys.argv.insert(1, 'serve'); main()"

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed here")


def arc(x, y, wide, high, start, end):
    """Points along an ellipse, in parts of the pad."""
    return [
        (x + wide * math.cos(math.radians(angle)), y + high * math.sin(math.radians(angle)))
        for angle in np.linspace(start, end, 20)
    ]


DIGITS = {
    "zero": [arc(0.5, 0.5, 0.2, 0.32, -90, 270)],
    "one": [[(0.42, 0.3), (0.52, 0.18), (0.52, 0.82)]],
    "three": [arc(0.47, 0.34, 0.17, 0.15, -150, 90) + arc(0.47, 0.65, 0.19, 0.17, -90, 150)],
    "seven": [[(0.3, 0.2), (0.7, 0.2), (0.45, 0.84)]],
}
# Small and in a corner: it is the page that brings it to the middle.
IN_THE_CORNER = [[(0.72 + x / 4, 0.72 + y / 4) for x, y in DIGITS["seven"][0]]]


@pytest.fixture(scope="module")
def chromium():
    if CHROMIUM is None:
        pytest.skip("no chromium is installed here")
    playwright = pytest.importorskip("playwright.sync_api")
    # Slow machines pass too: this is how long an answer may take before a test fails.
    playwright.expect.set_options(timeout=60_000)
    with playwright.sync_playwright() as starter:
        browser = starter.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def addresses(tmp_path_factory, digits_onnx):
    """Where three models are served, by their names."""
    folder = tmp_path_factory.mktemp("models")
    with (
        served(digits_onnx) as digits,
        served(sizes(folder / "sizes.onnx")) as three,
        served(two_inputs(folder / "two.onnx"), token=TOKEN) as two,
    ):
        yield {"digits": digits(), "sizes": three(), "two": two()}


@pytest.fixture
def visit(chromium, addresses):
    """Opens a page in a browser of its own; nothing else is asked, and nothing is complained of."""
    contexts = []

    def opened(address, path="/", complaints=(), **how):
        address = addresses.get(address, address)
        context = chromium.new_context(**{"viewport": DESK, **how})
        contexts.append((context, complaints))
        tab = context.new_page()
        context.asked, context.said = [], []
        tab.on("request", lambda request: context.asked.append(request.url))
        tab.on("pageerror", lambda error: context.said.append(str(error)))
        tab.on("console", lambda message: context.said.append(message.text))
        tab.goto(address + path)
        context.address = address
        return tab

    yield opened
    for context, complaints in contexts:
        elsewhere = [url for url in context.asked if not url.startswith(context.address)]
        said = [text for text in context.said if not any(part in text for part in complaints)]
        context.close()
        assert not elsewhere
        assert not said


@needs_chromium
def test_a_digit_that_is_drawn_is_recognised(visit):
    tab = visit("digits")
    for name, strokes in DIGITS.items():
        draw(tab, strokes)
        wins(tab, name)
        tab.get_by_role("button", name="Clear").click()
        tab.get_by_text("The answer appears here.").wait_for()
    draw(tab, IN_THE_CORNER)
    wins(tab, "seven")
    tab.get_by_text("How pixels are given").click()
    tab.get_by_label("Centre and scale").uncheck()
    expect(tab.locator(".verdict strong")).not_to_have_text("seven")


@needs_chromium
def test_a_stroke_is_taken_back(visit):
    tab = visit("digits")
    draw(tab, DIGITS["one"])
    wins(tab, "one")
    command = tab.locator("#curl")
    before = command.text_content()
    draw(tab, [[(0.1, 0.9), (0.9, 0.9), (0.9, 0.1), (0.1, 0.1)]])
    expect(command).not_to_have_text(before)
    tab.get_by_role("button", name="Undo").click()
    expect(command).to_have_text(before)
    wins(tab, "one")


@needs_chromium
def test_a_digit_is_drawn_by_keyboard_alone(visit):
    tab = visit("digits")
    tab.locator("canvas.pad").wait_for()
    focus(tab, "canvas")
    press(tab, "ArrowLeft", 3)
    press(tab, "ArrowUp", 5)
    tab.keyboard.press("Space")
    for key, times in (("Right", 6), ("Down", 10), ("Left", 6), ("Up", 10)):
        press(tab, f"Arrow{key}", times)
    tab.keyboard.press("Space")
    press(tab, "ArrowDown", 12)  # the pen is up, and leaves nothing
    wins(tab, "zero")
    expect(tab.locator("#spoken")).to_have_text(re.compile(r"^zero, [\d.]+ %\. Next: "))
    assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    tab.keyboard.press("Delete")
    tab.get_by_text("The answer appears here.").wait_for()


@needs_chromium
def test_a_digit_is_drawn_with_a_finger(visit):
    tab = visit("digits", viewport=PHONE, has_touch=True, is_mobile=True)
    pad = tab.locator("canvas.pad")
    pad.wait_for()
    fingers = tab.context.new_cdp_session(tab)
    box = pad.bounding_box()
    (stroke,) = DIGITS["seven"]
    for number, (x, y) in enumerate(between(stroke)):
        place = {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]}
        kind = "touchMove" if number else "touchStart"
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [place]})
    fingers.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    wins(tab, "seven")
    assert tab.evaluate("scrollY") == 0


@needs_chromium
def test_an_image_is_given(visit, tmp_path, raw_digits):
    pillow = pytest.importorskip("PIL.Image")
    x, y = raw_digits
    path = tmp_path / "eight.png"
    eight = x[np.flatnonzero(y == 8)[0], :, :, 0]
    pillow.fromarray((eight * 255 / 16).astype("uint8")).resize((64, 64)).save(path)
    tab = visit("digits")
    tab.get_by_label("Image", exact=True).check()
    tab.locator("input[type=file]").set_input_files(path)
    wins(tab, "eight")
    expect(tab.get_by_text("eight.png: 64 × 64 pixels")).to_be_visible()  # noqa: RUF001
    note = tmp_path / "note.png"
    note.write_text("no image")
    tab.locator("input[type=file]").set_input_files(note)
    expect(tab.get_by_text("note.png is no image")).to_be_visible()


@needs_chromium
def test_a_row_gives_bars(visit):
    tab = visit("sizes")
    rows = tab.get_by_label("Rows for size")
    rows.fill("0.1\t0.9\t0.3")
    wins(tab, "wide")
    assert [name.inner_text() for name in tab.locator(".bars .name").all()] == [
        "long",
        "wide",
        HOSTILE,
    ]
    expect(tab.get_by_label("width")).to_have_value("0.9")
    tab.get_by_label("highest first").check()
    expect(tab.locator(".bars .name")).to_have_text(["wide", HOSTILE, "long"])
    tab.get_by_label("height").fill("2")
    wins(tab, HOSTILE)
    rows.fill("1, 0, 0\n0 1 0\n[0, 0, 1]")
    expect(tab.locator("#outputs tbody tr")).to_have_text(
        [re.compile("1long"), re.compile("2wide"), re.compile("3<b")]
    )
    rows.fill("1, 2")
    expect(tab.get_by_role("alert")).to_have_text("size, row 1: expected 3 numbers, found 2.")
    rows.fill("1, two, 3")
    expect(tab.get_by_role("alert")).to_have_text("size, row 1: expected a number, found “two”.")
    tab.get_by_label("JSON", exact=True).check()
    tab.get_by_role("button", name="Fill in an example").click()
    expect(tab.locator(".bars .value").first).to_have_text("33.3 %")


@needs_chromium
def test_the_command_asks_the_same(visit):
    tab = visit("sizes")
    tab.get_by_label("Rows for size").fill("1, 2, 3")
    tab.get_by_text("The same as a command").click()
    command = tab.locator("#curl").inner_text()
    words = shlex.split(command.replace("\\\n", " "))
    header = words[words.index("-H") + 1].split(": ")
    request = urllib.request.Request(words[1], words[words.index("-d") + 1].encode())
    request.add_header(*header)
    with urllib.request.urlopen(request) as answer:
        assert json.load(answer)["predictions"][0]["class"] == HOSTILE


@needs_chromium
def test_two_inputs_and_a_token(visit):
    tab = visit("two", complaints=["401"])
    field = tab.get_by_label("This server asks for a token.")
    field.fill("another")
    field.press("Enter")
    expect(tab.get_by_text("is not the server's")).to_be_visible()
    field.fill(TOKEN)
    field.press("Enter")
    tab.get_by_label("Rows for a").fill("1 2")
    expect(tab.get_by_text("Still to give: b.")).to_be_visible()
    tab.get_by_label("Rows for b").fill("7.5")
    expect(tab.locator(".output h3")).to_have_text(["sum", "share"])
    expect(tab.locator(".output .big")).to_have_text("10.5")
    expect(tab.locator(".verdict strong")).to_have_text("2")
    # The server's own words for what the page cannot know.
    tab.get_by_label("Rows for b").fill("1\n2")
    tab.context.said.clear()
    expect(tab.get_by_role("alert")).to_contain_text("different lengths")
    assert all("400" in text for text in tab.context.said)
    tab.context.said.clear()
    tab.reload()
    expect(tab.get_by_label("Rows for a")).to_be_visible()  # the tab knows the token
    tab.goto(f"{tab.context.address}/docs")
    expect(tab.locator(".call").first).to_contain_text("Bearer $HOLDFAST_TOKEN")


@needs_chromium
def test_another_version_is_noted(visit, tmp_path):
    path = sizes(tmp_path / "sizes.onnx")
    with served(path) as address:
        tab = visit(address(), complaints=["ERR_CONNECTION_REFUSED", "ERR_EMPTY"])
        tab.get_by_label("Rows for size").fill("3, 2, 1")
        wins(tab, "long")
        before = tab.locator("#version").inner_text()
    tab.get_by_label("Rows for size").fill("3, 2, 0")
    expect(tab.get_by_role("alert")).to_contain_text("does not answer")
    sizes(path, sign=-1)
    with served(path, port=address().rpartition(":")[2]) as again:
        assert again() == address()
        tab.get_by_label("Rows for size").fill("3, 2, 1")
        wins(tab, HOSTILE)
        expect(tab.locator("#note")).to_have_text(
            re.compile(rf"^Version \w+ answers now; before it was {before}\.$")
        )
        expect(tab.locator("#version")).not_to_have_text(before)


@needs_chromium
def test_what_is_known_of_the_model_is_shown(visit):
    tab = visit("digits")
    expect(tab.locator("h1")).to_have_text("digits")
    expect(tab.locator(".curve svg")).to_have_count(2)
    expect(tab.locator(".curve circle")).to_have_count(2)
    expect(tab.get_by_role("img", name=re.compile("accuracy by epoch. Best 0.9"))).to_be_visible()
    layers = tab.get_by_role("region", name="Layers")
    expect(layers.locator("tbody tr")).to_have_count(5)
    expect(layers).to_contain_text("Conv2D")
    expect(tab.locator(".metrics")).to_contain_text("val_accuracy")
    expect(tab.locator("#facts")).to_contain_text("0 (white) to 16 (black)")


@needs_chromium
def test_a_phone_shows_all_of_it(visit):
    for model, fill in (("digits", lambda tab: draw(tab, DIGITS["one"])), ("sizes", type_rows)):
        tab = visit(model, viewport=PHONE)
        fill(tab)
        tab.locator(".took").wait_for()
        open_all(tab)
        fits(tab)
    tab = visit("digits", "/docs", viewport=PHONE)
    tab.locator(".call").first.wait_for()
    open_all(tab)
    fits(tab)


@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable(visit, scheme):
    tab = visit("digits", color_scheme=scheme, reduced_motion="reduce")
    draw(tab, DIGITS["three"])
    wins(tab, "three")
    assert (
        tab.evaluate("getComputedStyle(document.querySelector('.fill')).transitionDuration") == "0s"
    )
    open_all(tab)
    pale = tab.evaluate(CONTRAST)
    tab.get_by_label("JSON", exact=True).check()
    tab.get_by_label("JSON for image").fill("[")
    tab.get_by_role("alert").wait_for()
    pale += tab.evaluate(CONTRAST)
    tab.goto(f"{tab.context.address}/docs")
    tab.locator(".call").first.wait_for()
    open_all(tab)
    assert pale + tab.evaluate(CONTRAST) == []


@needs_chromium
def test_every_call_is_described(visit, addresses):
    tab = visit("digits", "/docs")
    tab.locator(".call").first.wait_for()
    with urllib.request.urlopen(f"{addresses['digits']}/openapi.json") as answer:
        paths = json.load(answer)["paths"]
    wanted = {(verb.upper(), path) for path, item in paths.items() for verb in item}
    shown = {tuple(heading.inner_text().split()) for heading in tab.locator(".call h2").all()}
    assert shown == {(verb, path) for verb, path in wanted if verb != "PARAMETERS"}
    expect(tab.locator(".call").first).to_contain_text(f"curl {addresses['digits']}/predict")


@needs_chromium
def test_a_drawing_is_centred_as_mnist_is(visit):
    tab = visit("digits")
    pixels = np.array(
        tab.evaluate(
            """async () => {
              const { centred, raster, usualPen } = await import("/page/pixels.js");
              const pen = usualPen(28);
              const strokes = [[[1, 2], [5, 2], [2, 11]]];
              return [...raster(centred(strokes, 28, 28, pen), 28, 28, pen)];
            }"""
        )
    ).reshape(28, 28)
    inked = np.argwhere(pixels > 0.5)
    assert inked[:, 0].max() - inked[:, 0].min() + 1 in (19, 20)
    middle = (np.indices((28, 28)) + 0.5).reshape(2, -1) @ pixels.ravel() / pixels.sum()
    assert middle == pytest.approx([14, 14], abs=0.1)


@pytest.mark.parametrize(
    ("shape", "dtype", "ways", "layout"),
    [
        ((8, 8, 1), "float32", "draw image json", "hwc"),
        ((28, 28), "uint8", "draw image json", "hw"),
        ((1, 28, 28), "float32", "draw image json", "chw"),
        ((784,), "float32", "draw image numbers json", "flat"),
        ((32, 32, 3), "float32", "image json", "hwc"),
        ((None, None, 3), "float32", "image json", "hwc"),
        ((224, 224, 1), "float32", "image json", "hwc"),
        ((64,), "int32", "numbers json", None),
        ((4,), "float32", "numbers json", None),
        ((None,), "int64", "numbers json", None),
        ((20, 3), "float32", "json", None),
        ((), "float32", "json", None),
        ((1,), "string", "text json", None),
        ((8, 8, 1), "bool", "json", None),
    ],
)
def test_the_way_fits_the_input(shape, dtype, ways, layout):
    found = page.way(Tensor("x", (None, *shape), dtype), About())
    assert found["ways"] == ways.split()
    assert found.get("image", {}).get("layout") == layout


def test_the_range_is_what_is_said_of_the_pixels():
    def found(shape=(28, 28, 1), dtype="float32", words="", kinds=()):
        layers = tuple(Layer("a", kind, None, 0) for kind in kinds)
        about = About(inputs={"x": words}, layers=layers)
        return page.way(Tensor("x", (None, *shape), dtype), about)["image"]["range"]

    assert found() == [0, 1]
    assert found(words="8x8 pixels, 0 (white) to 16 (black)") == [0, 16]
    assert found(words="from -1 to 1", kinds=["Rescaling"]) == [-1, 1]
    assert found(kinds=["Rescaling"]) == [0, 255]
    assert found((8, 8, 1), kinds=["Rescaling"]) == [0, 16]
    assert found(dtype="uint8") == [0, 255]


def test_fields_are_named_by_words_that_list_them():
    def fields(count, words=""):
        about = About(inputs={"x": words})
        return page.way(Tensor("x", (None, count), "float32"), about)["fields"]

    assert fields(2, "length, width of it") == ["length", "width of it"]
    assert fields(3, "length, width") == ["1", "2", "3"]
    assert fields(9) is None
    assert fields(None) is None


def test_facts_are_json_without_nan(tmp_path):
    model = judge.load(sizes(tmp_path / "sizes.onnx"))
    model.about = About(name="broken", metrics={"loss": math.nan}, curve={"loss": [1.0, math.inf]})
    facts = json.loads(json.dumps(page.facts(model, "7"), allow_nan=False))
    assert facts["metrics"] == {"loss": None}
    assert facts["curve"] == {"loss": [1.0, None]}
    assert (facts["name"], facts["version"]) == ("broken", "7")
    assert facts["try"]["size"]["ways"] == ["numbers", "json"]


def test_assets_are_the_files_of_the_page_alone():
    kind, body = page.asset("/")
    assert kind == "text/html; charset=utf-8"
    for path in set(re.findall(r'(?:src|href)="(/page/[^"]+)"', body.decode())):
        assert page.asset(path) is not None
    for path in (
        "/page/../page.py",
        "/page/",
        "/page",
        "/page.py",
        "",
        "/index.html",
        "/page/x.js",
    ):
        assert page.asset(path) is None
    assert b"style=" not in body
    assert b"<script>" not in body


# What the tests above stand on.


@contextmanager
def served(path, *, token=None, port=0):
    """Serve a model; gives a function that returns the address once it listens."""
    environment = {key: value for key, value in os.environ.items() if key != "HOLDFAST_TOKEN"}
    server = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(path), "--port", str(port)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment | ({"HOLDFAST_TOKEN": token} if token else {}),
    )
    told = []

    def address():
        if not told:
            line = server.stdout.readline()
            assert "http://" in line, f"{path} is not served"
            told.append(re.search(r"http://\S+", line)[0].rstrip("/"))
        return told[0]

    try:
        yield address
    finally:
        address()  # from then on a signal is heeded
        server.terminate()
        server.communicate(timeout=60)


def sizes(path, sign=1):
    """Save a model of three numbers to three classes: the largest number wins, or the smallest."""
    from onnx import TensorProto, helper, numpy_helper

    weights = numpy_helper.from_array(sign * np.eye(3, dtype="float32"), "w")
    nodes = [
        helper.make_node("MatMul", ["size", "w"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["kind"], axis=-1),
    ]
    about = About(
        name="sizes",
        classes=("long", "wide", HOSTILE),
        inputs={"size": "length, width, height"},
    )
    _save(path, nodes, {"size": 3}, {"kind": 3}, [weights], about, helper, TensorProto)
    return path


def two_inputs(path):
    """Save a model of two inputs and two outputs: their sum, and the share of each number."""
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Concat", ["a", "b"], ["all"], axis=1),
        helper.make_node("Softmax", ["all"], ["share"], axis=-1),
        helper.make_node("ReduceSum", ["all", "axes"], ["sum"], keepdims=1),
    ]
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    about = About(name="two")
    _save(path, nodes, {"a": 2, "b": 1}, {"sum": 1, "share": 3}, [axes], about, helper, TensorProto)
    return path


def _save(path, nodes, inputs, outputs, constants, about, helper, types):
    def tensors(of):
        return [
            helper.make_tensor_value_info(name, types.FLOAT, ["batch", size])
            for name, size in of.items()
        ]

    graph = helper.make_graph(nodes, "model", tensors(inputs), tensors(outputs), constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, {KEY: to_json(about)})
    Path(path).write_bytes(model.SerializeToString())


def expect(locator):
    from playwright.sync_api import expect as expected

    return expected(locator)


def wins(tab, name):
    expect(tab.locator(".verdict strong")).to_have_text(name)


def between(stroke):
    """The points of a stroke, and two between each and the next."""
    for start, end in pairwise(stroke):
        for part in (0, 1 / 3, 2 / 3):
            yield tuple(a + (b - a) * part for a, b in zip(start, end, strict=True))
    yield stroke[-1]


def draw(tab, strokes):
    pad = tab.locator("canvas.pad")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    for stroke in strokes:
        places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in stroke]
        tab.mouse.move(*places[0])
        tab.mouse.down()
        for place in places[1:]:
            tab.mouse.move(*place)
        tab.mouse.up()


def type_rows(tab):
    tab.get_by_label("Rows for size").fill("\n".join(["0.123456789, 0.2, 0.3"] * 5))


def focus(tab, tag):
    """Go there as someone without a mouse does."""
    for _ in range(30):
        tab.keyboard.press("Tab")
        if tab.evaluate("document.activeElement.localName") == tag:
            return
    pytest.fail(f"no {tag} is reached by Tab")


def press(tab, key, times):
    for _ in range(times):
        tab.keyboard.press(key)


def open_all(tab):
    tab.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")


def fits(tab):
    """Nothing is beside the screen but what scrolls within itself."""
    assert tab.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    assert tab.evaluate(OUTSIDE, PHONE["width"]) == []


OUTSIDE = """(width) => [...document.querySelectorAll("body *")]
  .filter((one) => one.checkVisibility() && !one.closest(".wide *, .hidden, pre *"))
  .filter((one) => {
    const box = one.getBoundingClientRect();
    return box.width && (box.left < 0 || box.right > width);
  })
  .map((one) => one.outerHTML.slice(0, 100))"""

CONTRAST = """() => {
  const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = channels(colour).map((value) => {
      const part = value / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (one) => {
    for (let at = one; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if ((channels(colour)[3] ?? 1) === 1) return colour;
    }
    return getComputedStyle(document.documentElement).backgroundColor;
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const pale = [];
  let counted = 0;
  while (texts.nextNode()) {
    const one = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !one.checkVisibility()) continue;
    const style = getComputedStyle(one);
    const colour = one.namespaceURI.endsWith("svg") ? style.fill : style.color;
    const [low, high] = [light(colour), light(ground(one))].sort((a, b) => a - b);
    counted += 1;
    if ((high + 0.05) / (low + 0.05) >= 4.5) continue;
    pale.push(`${texts.currentNode.data}: ${colour} on ${ground(one)}`);
  }
  return counted > 20 ? pale : [`only ${counted} texts were seen`];
}"""
