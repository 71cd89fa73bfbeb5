"""Commands and programs that the pages about judging show."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from server_process import serving

DOCS = Path(__file__).parents[2] / "docs"
HOLDFAST = str(Path(sys.executable).with_name("holdfast"))


def shown(page, language):
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)


def commands(page):
    return [line for block in shown(page, "sh") for line in block.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, digits_run, digits_onnx, digits_tflite, raw_digits):
    """A directory with the files that the pages name."""
    folder = tmp_path_factory.mktemp("pages")
    shutil.copytree(digits_run, folder / "runs" / "digits")
    for path in (digits_onnx, digits_tflite):
        shutil.copy(path, folder)
    x, y = raw_digits
    np.save(folder / "measured.npy", x[:20])
    np.savez(folder / "measured.npz", x=x[:200], y=y[:200])
    np.savetxt(folder / "measured.csv", x[:5].reshape(5, 64), fmt="%g", delimiter=",")
    rows = (str(row) for row in x[:5].reshape(5, 64).tolist())
    (folder / "measured.jsonl").write_text("\n".join(rows) + "\n")
    (folder / "scans").mkdir()
    for number in range(2):
        pixels = (x[number, :, :, 0] * 15).astype("uint8")
        Image.fromarray(pixels).save(folder / "scans" / f"{number}.png")
    return folder


@pytest.mark.parametrize("page", ["predict.md", "export.md"])
def test_commands(page, folder):
    lines = commands(page)
    assert lines
    for line in lines:
        command = line.replace("holdfast ", f"{shlex.quote(HOLDFAST)} ")
        found = subprocess.run(
            ["bash", "-c", command],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert found.returncode == 0, line + found.stderr


def test_the_programs_that_ask(folder, tmp_path):
    """Of the commands of this page test_serve and test_watch run what they stand for."""
    programs = shown("serve.md", "python")
    with serving(folder / "digits.onnx", tmp_path / "log") as server:
        found = [
            subprocess.run(
                [
                    sys.executable,
                    "-c",
                    program.replace("127.0.0.1:8000", f"127.0.0.1:{server.port}"),
                ],
                capture_output=True,
                text=True,
                check=False,
            )
            for program in programs
        ]
    assert [answer.stderr for answer in found] == ["", ""]
    assert re.fullmatch(r"[0-9a-f]{12} \w+\n", found[0].stdout)
    assert re.fullmatch(r"[0-9a-f]{12} \[\d \d \d\]\n", found[1].stdout)
