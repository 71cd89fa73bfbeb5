"""What `predict` reads: every kind of file, and what is said of those that cannot be read."""

import io
import json
import os
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from holdfast.errors import InputError
from holdfast.judge.about import About, Layer
from holdfast.judge.signature import Signature, Tensor
from holdfast.prediction import images, tables
from holdfast.prediction.inputs import Inputs

ONE = Signature((Tensor("x", (None, 3), "float32"),), ())
TWO = Signature((Tensor("a", (None, 2), "float32"), Tensor("b", (None,), "int32")), ())
SQUARE = Signature((Tensor("image", (None, 2, 2, 1), "float32"),), ())
ROWS = np.arange(21, dtype="float32").reshape(7, 3) / 8


def read(paths, signature=ONE, **options):
    """The rows of all batches, by input; with one input, its array."""
    paths = [paths] if isinstance(paths, os.PathLike | str) else paths
    batches = list(Inputs(paths, signature, **options))
    found = {
        tensor.name: np.concatenate([batch.feed[tensor.name] for batch in batches])
        for tensor in signature.inputs
    }
    return found if len(found) > 1 else next(iter(found.values()))


def refused(paths, signature=ONE, **options):
    with pytest.raises(InputError) as error:
        read(paths, signature, **options)
    return str(error.value)


def written(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def table(rows, head=""):
    return head + "".join(",".join(f"{number:.9g}" for number in row) + "\n" for row in rows)


def test_numpy_files_in_both_orders_stored_and_packed(tmp_path):
    for number, rows in enumerate(
        [ROWS, np.asfortranarray(ROWS), ROWS.astype("float64"), ROWS[:1]]
    ):
        path = tmp_path / f"{number}.npy"
        np.save(path, rows)
        np.testing.assert_array_equal(read(path, batch=2), rows)
        for save in (np.savez, np.savez_compressed):
            save(tmp_path / "rows.npz", x=rows, y=np.arange(len(rows)))
            np.testing.assert_array_equal(read(tmp_path / "rows.npz", batch=2), rows)
    np.save(tmp_path / "whole.npy", np.array([[1, 2, 3]], dtype="uint8"))
    assert read(tmp_path / "whole.npy").dtype == np.float32
    assert [batch.rows for batch in Inputs([tmp_path / "0.npy"], ONE, batch=3)] == [3, 3, 1]


def test_numpy_files_of_several_inputs(tmp_path):
    a, b = ROWS[:, :2], np.arange(7)
    np.savez(tmp_path / "named.npz", b=b, a=a, other=a)
    np.savez(tmp_path / "unnamed.npz", a, b)
    for name in ("named.npz", "unnamed.npz"):
        found = read(tmp_path / name, TWO, batch=4)
        np.testing.assert_array_equal(found["a"], a)
        np.testing.assert_array_equal(found["b"], b)
    np.savez(tmp_path / "uneven.npz", a=a, b=b[:5])
    assert "different lengths" in refused(tmp_path / "uneven.npz", TWO)
    np.savez(tmp_path / "missing.npz", a=a, c=b)
    assert "no array 'b'" in refused(tmp_path / "missing.npz", TWO)
    np.save(tmp_path / "one.npy", a)
    assert "give an .npz" in refused(tmp_path / "one.npy", TWO)


def test_numpy_files_that_are_not_the_models(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, np.zeros((5, 4), "float32"))
    said = refused(path)
    assert "x.npy" in said
    assert "float32[?, 3]" in said
    assert "float32[5, 4]" in said
    np.save(path, np.zeros(3, "float32"))
    assert "x[None]" in refused(path)
    np.save(path, np.array(["a", "b", "c"])[None])
    assert "float32" in refused(path)
    np.save(path, np.zeros((0, 3)))
    assert "no rows" in refused(path)
    np.save(path, np.array([[None] * 3]), allow_pickle=True)
    assert "numbers" in refused(path)
    np.savez(tmp_path / "x.npz", one=ROWS, two=ROWS)
    assert "found one, two" in refused(tmp_path / "x.npz")


def test_numpy_files_that_are_damaged(tmp_path):
    np.save(tmp_path / "whole.npy", ROWS)
    np.savez_compressed(tmp_path / "whole.npz", x=np.random.default_rng(1).normal(size=(500, 3)))
    for name in ("whole.npy", "whole.npz"):
        data = (tmp_path / name).read_bytes()
        path = tmp_path / f"cut{name[-4:]}"
        for size in (0, 3, 40, len(data) - 1):
            path.write_bytes(data[:size])
            assert path.name in refused(path)
    flipped = bytearray((tmp_path / "whole.npz").read_bytes())
    flipped[2000] ^= 255
    path.write_bytes(flipped)
    assert "sound" in refused(path)
    np.save(path.with_suffix(".npy"), np.asfortranarray(ROWS))
    with path.with_suffix(".npy").open("rb+") as file:
        file.truncate(150)
    assert "cut off" in refused(path.with_suffix(".npy"))


def test_csv_with_and_without_names(tmp_path):
    path = tmp_path / "rows.csv"
    plain = table(ROWS)
    for text in (
        plain,
        "\ufeff" + plain,
        "one,two,three\n" + plain,
        plain.replace("\n", "\r\n"),
        plain.replace("\n", "\n\n"),
        plain.replace(",", ";"),
        plain.replace(",", "\t"),
        plain.replace(",", " , "),
        plain.replace("0.875", '"0.875"'),
        '"o\nne",two,"th,ree"\n' + plain,
        plain[:-1],
    ):
        np.testing.assert_array_equal(read(written(path, text), batch=3), ROWS)
    shuffled = table(np.c_[ROWS[:, 2], ROWS[:, 0], [9] * 7, ROWS[:, 1]], "x_2,x_0,label,x_1\n")
    said = []
    found = read(written(path, shuffled), say=said.append)
    np.testing.assert_array_equal(found, ROWS)
    assert said == [f"{path}: not used: label"]
    for spare, shown in ((8, "s6, s7"), (9, "s6, s7 and 1 more"), (500, "s6, s7 and 492 more")):
        names = ",".join(f"s{number}" for number in range(spare))
        wide = table(np.c_[ROWS, np.zeros((7, spare))], f"x_0,x_1,x_2,{names}\n")
        np.testing.assert_array_equal(read(written(path, wide), say=said.append), ROWS)
        assert said[-1] == f"{path}: not used: s0, s1, s2, s3, s4, s5, {shown}"
    labelled = written(path, table(np.c_[ROWS, [9] * 7], "p,q,r,label\n"))
    np.testing.assert_array_equal(read(labelled, columns=["r", "1", "q"]), ROWS[:, [2, 0, 1]])
    np.testing.assert_array_equal(read(written(path, "0,1,2\n"), header=False), [[0, 1, 2]])
    np.testing.assert_array_equal(read(written(path, "nan,inf,-1e3\n")), [[np.nan, np.inf, -1000]])


def test_csv_in_the_shape_of_the_input(tmp_path):
    path = written(tmp_path / "x.csv", "1,2,3,4\n5,6,7,8\n")
    assert read(path, SQUARE).shape == (2, 2, 2, 1)
    assert read(path, Signature((Tensor("t", (None, None, 2), "float32"),), ())).shape == (2, 2, 2)
    assert read(path, Signature((Tensor("t", (None, None), "int64"),), ())).shape == (2, 4)
    with pytest.raises(InputError, match="does not say which"):
        read(path, Signature((Tensor("t", (None, None, None), "float32"),), ()))
    texts = Signature((Tensor("text", (None, 1), "string"),), ())
    found = read(written(path, 'text\nplain\n"a, b\nc"\n'), texts)
    assert found.tolist() == [["plain"], ["a, b\nc"]]
    truths = Signature((Tensor("t", (None, 2), "bool"),), ())
    assert read(written(path, "true,0\nFalse,1\n"), truths).tolist() == [
        [True, False],
        [False, True],
    ]


def test_csv_of_several_inputs(tmp_path):
    path = tmp_path / "two.csv"
    for text in (
        "b,more,a_1,a_0\n7,0,2,1\n8,0,4,3\n",
        "1,2,7\n3,4,8\n",
        "p,q,r\n1,2,7.0\n3,4,8\n",
    ):
        found = read(written(path, text), TWO)
        assert found["a"].tolist() == [[1, 2], [3, 4]]
        assert found["b"].tolist() == [7, 8]
        assert found["b"].dtype == np.int32
    assert "no columns b: it has a_0, a_1" in refused(written(path, "a_0,a_1\n1,2\n"), TWO)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["no rows"]),
        ("a,b,c\n", ["no rows"]),
        ("1,2,3\n4,five,6\n", ["line 2", "column 2", "a number", "'five'"]),
        ("p,q,r\n1,2,3\n\n4,,6\n", ["line 4", "column 'q'", "a number", "nothing"]),
        ("p,q,r\n1,2,3\n4,6\n", ["line 3", "expected 3 columns", "found 2"]),
        ('p,q,r\n1,"2",3\n4,5,6,7\n', ["line 3", "expected 3 columns", "found 4"]),
        ('p,q,r\n1,"2\n\n",3\n4,"5,6\n', ["line 5"]),
        ("1,2,3,4\n", ["float32[?, 3]", "found 4", "columns"]),
        ("1;2,5;3\n", ["line 1", "decimal point", "'2,5'"]),
        ("0,1,2\n5,6,7\n", ["line 1", "header"]),
        ("one,2,3\n5,6,7\n", ["line 1", "column 1", "'one'"]),
        ("1,2,1_000\n", ["line 1", "column 3"]),
    ],
)
def test_csv_that_cannot_be_read(tmp_path, text, parts):
    said = refused(written(tmp_path / "bad.csv", text))
    assert "bad.csv" in said
    for part in parts:
        assert part in said


def test_whole_numbers_stay_whole(tmp_path):
    path = tmp_path / "ids.csv"
    ids = Signature((Tensor("ids", (None, 2), "int32"),), ())
    assert read(written(path, "1,2\n3.0,4\n"), ids).tolist() == [[1, 2], [3, 4]]
    assert "whole number, found '2.5'" in refused(written(path, "1,2.5\n"), ids)
    assert "int32 does not hold" in refused(written(path, "1,3000000000\n"), ids)
    assert "whole number" in refused(written(path, f"1,{2**70}\n"), ids)
    path = tmp_path / "latin.csv"
    path.write_bytes("1,2\n3,é\n".encode("latin-1"))
    assert "UTF-8" in refused(path, ids)


def test_a_csv_text_at_once():
    feed = tables.feed("a_0,a_1,b\n1,2,3\n4,5,6\n", TWO, "the body")
    assert feed["b"].ravel().tolist() == [3, 6]
    with pytest.raises(InputError, match="the body has no rows"):
        tables.feed("", TWO, "the body")


def test_parquet(tmp_path):
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "rows.parquet"

    def put(**columns):
        pq.write_table(pa.table(columns), path, row_group_size=4)

    put(p=ROWS[:, 0], q=ROWS[:, 1].astype("float64"), r=ROWS[:, 2])
    np.testing.assert_array_equal(read(path, batch=3), ROWS)
    put(label=list("abcdefg"), x=list(ROWS))
    np.testing.assert_array_equal(read(path, batch=3), ROWS)
    fixed = pa.FixedSizeListArray.from_arrays(pa.array(ROWS.ravel()), 3)
    put(features=fixed)
    np.testing.assert_array_equal(read(path, batch=3), ROWS)
    put(b=np.arange(7), a=list(ROWS[:, :2]))
    found = read(path, TWO, batch=3)
    assert found["b"].tolist() == list(range(7))
    np.testing.assert_array_equal(found["a"], ROWS[:, :2])
    put(pixels=[[[1, 2], [3, 4]]])
    assert "found int64[2, 2]" in refused(path, SQUARE)
    put(pixels=[[1, 2, 3, 4]])
    assert read(path, SQUARE).shape == (1, 2, 2, 1)
    put(p=[1.0, 2.0], q=[1.0, None], r=[1.0, 2.0])
    assert "row 2, column 'q'" in refused(path)
    put(x=[[1.0, 2.0, 3.0], [1.0]])
    assert "found 1 and 3" in refused(path)
    put(p=["1"], q=["2"], r=["3"])
    assert "float32" in refused(path)
    put(p=[1.0])
    assert "found 1: p" in refused(path)
    path.write_bytes(b"PAR1 and nothing else")
    assert "Parquet" in refused(path)


def test_json_lines(tmp_path):
    path = tmp_path / "x.jsonl"
    assert read(written(path, "[1, 2, 3]\n\n[4, 5, 6]"), batch=1).tolist() == [[1, 2, 3], [4, 5, 6]]
    assert read(written(path, '{"x": [1, 2, 3]}\n')).tolist() == [[1, 2, 3]]
    assert read(written(path, "[[1, 2], [3, 4]]\n[1, 2, 3, 4]\n"), SQUARE).shape == (2, 2, 2, 1)
    found = read(written(path, '{"b": 1, "a": [1, 2]}\n[[3, 4], 5]\n'), TWO)
    assert found["b"].tolist() == [1, 5]
    times = Signature((Tensor("t", (None, None, 1), "float32"),), ())
    lines = written(path, "[[1]]\n[[1], [2]]\n[[1], [3]]\n")
    shapes = [batch.feed["t"].shape for batch in Inputs([lines], times)]
    assert shapes == [(1, 1, 1), (2, 2, 1)]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["no rows"]),
        ("[1, 2, 3]\n[1, 2\n", ["line 2", "JSON"]),
        ("[1, 2]\n", ["line 1", "float32[3]", "[2]"]),
        ('[1, "2", 3]\n', ["line 1", "float32", "text"]),
        ("[1, null, 3]\n", ["line 1", "null"]),
        ("[1, [2], 3]\n", ["line 1", "different lengths"]),
        ('{"y": [1, 2, 3]}\n', ["line 1", "expected x", "'x'"]),
        ("[" * 100_000, ["line 1"]),
        ("[1, 2, 1e400]\n", ["line 1", "1e400, which float64 does not hold"]),
        ("[1, NaN, 1e39]\n", ["line 1", "a number that float32 does not hold"]),
    ],
)
def test_json_lines_that_cannot_be_read(tmp_path, text, parts):
    said = refused(written(tmp_path / "bad.jsonl", text))
    for part in ["bad.jsonl", *parts]:
        assert part in said


def test_files_come_one_after_the_other(tmp_path):
    np.save(tmp_path / "b.npy", ROWS)
    written(tmp_path / "a.csv", table(ROWS[:2]))
    found = read([tmp_path / "b.npy", tmp_path / "a.csv"])
    np.testing.assert_array_equal(found, np.concatenate([ROWS, ROWS[:2]]))
    found = read(str(tmp_path / "*.[cn]*"))
    np.testing.assert_array_equal(found, np.concatenate([ROWS[:2], ROWS]))
    inputs = Inputs([tmp_path / "b.npy"], ONE, batch=4)
    done = [inputs.done for _ in inputs]
    assert done[0] < done[-1] == inputs.size
    assert "no such file (did you mean 'b.npy'?)" in refused(tmp_path / "bb.npy")
    assert "no file is named so" in refused(str(tmp_path / "*.txt"))
    assert "did you mean '.jpg'" in refused(written(tmp_path / "x.jpgg", ""))
    assert "folder of images" in refused(tmp_path)


def test_a_batch_of_fixed_size_is_filled(tmp_path):
    fixed = Signature((Tensor("x", (4, 3), "float32"),), ())
    np.save(tmp_path / "x.npy", ROWS)
    batches = list(Inputs([tmp_path / "x.npy"], fixed, batch=256))
    assert [batch.rows for batch in batches] == [4, 3]
    assert [len(batch.feed["x"]) for batch in batches] == [4, 4]
    np.testing.assert_array_equal(batches[1].feed["x"][2], batches[1].feed["x"][3])


def picture(path, pixels, **options):
    image = Image.fromarray(np.array(pixels, dtype="uint8"))
    image.save(path, **options)
    return path


def test_images_become_what_the_input_takes(tmp_path):
    path = picture(tmp_path / "x.png", [[0, 255], [51, 102]])
    grey = np.float32([[0, 1], [0.2, 0.4]])
    np.testing.assert_allclose(read(path, SQUARE)[0, ..., 0], grey)

    def frame(*shape, dtype="float32"):
        return Signature((Tensor("image", (None, *shape), dtype),), ())

    np.testing.assert_allclose(read(path, frame(2, 2))[0], grey)
    np.testing.assert_allclose(read(path, frame(4))[0], grey.ravel())
    np.testing.assert_allclose(read(path, frame(3, 2, 2))[0, 1], grey)
    assert read(path, frame(None, None, 3)).shape == (1, 2, 2, 3)
    assert read(path, frame(2, 2, 1, dtype="uint8")).ravel().tolist() == [0, 255, 51, 102]
    np.testing.assert_allclose(read(path, SQUARE, scale=(16, 0)).ravel(), [16, 0, 12.8, 9.6])
    assert read(path, frame(8, 8, 3)).shape == (1, 8, 8, 3)
    scaling = About(layers=(Layer("r", "Rescaling", None, 0), Layer("d", "Dense", None, 10)))
    said = []
    assert read(path, SQUARE, about=scaling, say=said.append).max() == 255
    assert said == ["images: 2x2, grey, black 0, white 255 (the model has a Rescaling layer)"]
    assert "no image can be made into" in refused(path, ONE)
    assert "several inputs" in refused(path, TWO)


def test_images_are_turned_and_put_on_white(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    wide = picture(tmp_path / "turned.png", [[0, 255], [0, 255]], exif=exif)
    assert read(wide, SQUARE)[0, ..., 0].tolist() == [[0, 0], [1, 1]]
    see_through = [[[0, 0, 0, 0], [0, 0, 0, 255]], [[9, 9, 9, 0], [255, 0, 0, 255]]]
    path = picture(tmp_path / "alpha.png", see_through)
    colours = Signature((Tensor("image", (None, 2, 2, 3), "uint8"),), ())
    assert read(path, colours)[0].tolist() == [[[255] * 3, [0] * 3], [[255] * 3, [255, 0, 0]]]
    deep = Image.fromarray(np.array([[0, 65535], [32768, 256]], dtype="uint16"))
    deep.save(tmp_path / "deep.png")
    np.testing.assert_allclose(
        read(tmp_path / "deep.png", SQUARE).ravel(), np.array([0, 255, 128, 1]) / 255
    )
    for ending in (".jpg", ".bmp", ".gif", ".webp"):
        path = picture(tmp_path / f"x{ending}", np.full((5, 7, 3), 200))
        assert abs(read(path, colours).astype(int) - 200).max() <= 2


def test_a_folder_of_images_in_order(tmp_path):
    for name, grey in (("b.png", 102), ("a.PNG", 51), ("deep/c.png", 153), (".hidden.png", 1)):
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(path, np.full((2, 2), grey), format="PNG")
    (tmp_path / "pictures" / "notes.txt").write_text("not an image")
    batches = list(Inputs([tmp_path / "pictures"], SQUARE, batch=2))
    names = [os.path.relpath(file, tmp_path / "pictures") for b in batches for file in b.files]
    assert names == ["a.PNG", "b.png", "deep/c.png"]
    found = np.concatenate([batch.feed["image"] for batch in batches])[:, 0, 0, 0]
    np.testing.assert_allclose(found, [0.2, 0.4, 0.6])
    np.save(tmp_path / "x.npy", np.zeros((1, 2, 2, 1), "float32"))
    assert "cannot go together" in refused([tmp_path / "pictures", tmp_path / "x.npy"], SQUARE)


def test_images_that_cannot_be_read(tmp_path):
    whole = picture(tmp_path / "x.png", np.random.default_rng(1).integers(0, 255, (40, 40)))
    data = whole.read_bytes()
    form = images.form(SQUARE.inputs[0], About())
    for size in range(0, len(data), 97):
        with pytest.raises(InputError, match="the body"):
            images.sample(io.BytesIO(data[:size]), form, "the body")
    assert "x.jpg" in refused(written(tmp_path / "x.jpg", "hello"), SQUARE)
    huge = bytearray(data)  # its head says 30,000 x 30,000 pixels: nothing of them is decoded
    huge[16:24] = (30_000).to_bytes(4, "big") * 2
    huge[29:33] = zlib.crc32(huge[12:29]).to_bytes(4, "big")
    with pytest.raises(InputError, match="at most 50,000,000 pixels"):
        images.sample(io.BytesIO(huge), form, "the body")


@pytest.mark.parametrize(
    ("words", "scale"),
    [
        ("", (0, 1)),
        ("8x8 pixels, 0 to 16", (0, 16)),
        ("pixels, 0 (white) to 16 (black)", (16, 0)),
        ("0 (paper) to 255 (ink)", (0, 255)),
        ("-1..1", (-1, 1)),
        ("a year such as 2024-05", (0, 1)),
    ],
)
def test_words_say_which_numbers_are_black_and_white(words, scale):
    tensor = Tensor("image", (None, 2, 2, 1), "float32")
    assert images.form(tensor, About(inputs={"image": words})).scale == scale


def test_a_pipe_gives_what_it_has():
    """Its first line is judged before the second one is sent; a slow sensor waits for nobody."""
    program = (
        "import sys; from holdfast.judge.signature import Signature, Tensor\n"
        "from holdfast.prediction.inputs import Inputs\n"
        "for batch in Inputs(['-'], Signature((Tensor('x', (None, 1), 'float32'),), ())):\n"
        "    print(batch.feed['x'].ravel().tolist(), flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        for sent in ([1.0], [2.0], [3.0, 4.0]):
            child.stdin.write("".join(f"{number}\n" for number in sent).encode())
            child.stdin.flush()
            assert json.loads(child.stdout.readline()) == sent
        child.stdin.write(b"5")
        child.stdin.close()
        assert json.loads(child.stdout.readline()) == [5.0]
    assert child.returncode == 0
