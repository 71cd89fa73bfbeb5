"""Every program and command that the documents show is run here."""

import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import holdfast

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
HOLDFAST = str(Path(sys.executable).with_name("holdfast"))


def blocks(text, language):
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def commands(text):
    lines = "".join(blocks(text, "sh")).splitlines()
    return [shown for line in lines if (shown := line.partition("#")[0].strip())]


def run(command, folder, seconds=240):
    environment = {**os.environ, "COLUMNS": "100"}
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


@pytest.fixture(scope="module")
def readme_folder(tmp_path_factory):
    """A directory in which the README's programs have run."""
    folder = tmp_path_factory.mktemp("readme")
    first, careful, old, files, second = blocks(README, "python")
    (folder / "train.py").write_text(old, encoding="utf-8")
    assert len(first.splitlines()) <= 10
    found = run([sys.executable, "-c", first], folder)
    assert found.returncode == 0, found.stderr
    assert (folder / "digits.png").stat().st_size > 10_000
    assert "Epoch 20/20" in found.stdout
    found = run([sys.executable, "-c", first + second + "print(best.name, run.status)"], folder)
    assert found.returncode == 0, found.stderr
    assert found.stdout.endswith("finished\n")
    assert "goes on from step" in found.stdout
    found = run([sys.executable, "-c", first + careful + "print(run.status)"], folder)
    assert found.returncode == 0, found.stderr
    assert "holdfast: ended: EarlyStopping: val_loss did not improve for 3 epochs" in found.stdout
    assert (folder / "best.keras").is_file()
    assert (folder / "careful.csv").read_text().startswith("epoch,")
    found = run([sys.executable, "-c", "import holdfast\n" + files], folder)
    assert found.returncode == 0, found.stderr
    assert (folder / "digits.h5").is_file()
    return folder


@pytest.mark.parametrize("command", [c for c in commands(README) if c.startswith("holdfast")])
def test_commands_of_the_readme(command, readme_folder):
    found = run([HOLDFAST, *shlex.split(command)[1:]], readme_folder)
    assert found.returncode == 0, found.stderr
    assert found.stdout
    told = found.stderr.splitlines()
    if command.startswith("holdfast run"):  # what is old in the program
        told = [line for line in told if not line.startswith("holdfast: train.py:")]
    assert not told


def test_what_the_page_of_old_programs_shows(tmp_path):
    page = (ROOT / "docs" / "old-programs.md").read_text(encoding="utf-8")
    (tmp_path / "package").mkdir()
    for name in ("train.py", "package/train.py"):
        (tmp_path / name).write_text("import sys\nprint('trained', *sys.argv[1:])\n")
    for command in commands(page):
        found = run([HOLDFAST, *shlex.split(command)[1:]], tmp_path)
        assert found.returncode == 0, found.stderr
        assert found.stdout.startswith("trained") or "--modernize" in command
    (program,) = blocks(page, "python")
    (tmp_path / "own.py").write_text(program + "print('on')\n")
    assert run([sys.executable, "own.py"], tmp_path).stdout == "on\n"
    assert (tmp_path / "runs" / "own" / "program.json").is_file()


def test_what_the_page_of_data_shows(tmp_path):
    (program,) = blocks((ROOT / "docs" / "data.md").read_text(encoding="utf-8"), "python")
    found = run([sys.executable, "-c", program], tmp_path)
    assert found.returncode == 0, found.stderr
    assert "Epoch 5/5" in found.stdout


def test_the_readme_shows_these_other_commands():
    """What is not a holdfast command: make's, and the installation that the tests run in."""
    other = [command for command in commands(README) if not command.startswith("holdfast")]
    assert other == ["make demo", "make test", "pip install '.[jax,plot]'"]


def test_commands_of_the_contributors_page_are_targets_of_make():
    shown = commands((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    makefile = (ROOT / "Makefile").read_text()
    targets = {"make " + name for name in re.findall(r"^([\w-]+):", makefile, re.MULTILINE)}
    assert shown
    assert set(shown) <= targets


def test_the_demo(tmp_path):
    """What `make demo` runs, with fewer epochs."""
    assert "$(BIN)/python examples/demo.py\n" in (ROOT / "Makefile").read_text()
    command = [sys.executable, str(ROOT / "examples" / "demo.py"), "--kills", "3", "--epochs", "25"]
    found = run([*command, "--folder", str(tmp_path / "demo")], tmp_path)
    assert found.returncode == 0, found.stdout + found.stderr
    assert found.stdout.count("SIGKILL after") >= 3
    assert "the same bits:          yes" in found.stdout
    first, second = re.findall(r"digest, .*: +([0-9a-f]{64})", found.stdout)
    assert first == second
    assert float(re.search(r"test accuracy: +(\d\.\d+)", found.stdout)[1]) > 0.9
    assert (tmp_path / "demo" / "curve.png").stat().st_size > 10_000
    assert not holdfast.Run(tmp_path / "demo" / "killed" / "run").verify().findings


def test_the_lesson(tmp_path):
    """The example that the README's second and third picture are of."""
    command = [sys.executable, str(ROOT / "examples" / "lesson.py"), "--folder", "runs"]
    found = run(command, tmp_path)
    assert found.returncode == 0, found.stdout + found.stderr
    assert len(re.findall(r"^\w+: best epoch \d+ of \d+, ", found.stdout, re.MULTILINE)) == 3
    shown = re.findall(r"^    (holdfast .*)$", (ROOT / "examples" / "lesson.py").read_text(), re.M)
    assert len(shown) == 2
    for line in shown:
        found = run([HOLDFAST, *line.split()[1:]], tmp_path)
        assert found.returncode == 0, found.stderr
        assert found.stdout


def test_the_page_of_formats(tmp_path):
    """Its commands and its first program; its tables are what opened the corpus."""
    page = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    made = runpy.run_path(str(ROOT / "docs" / "make_formats.py"))
    assert page == made["page"](page)
    first, given = blocks(page, "python")
    build = """
import keras, holdfast
layers = [keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(2)]
model = keras.Sequential(layers)
holdfast.save_model(model, "model-of-2019.h5")
holdfast.save_model(model, "model.h5")
holdfast.save_weights(model, "training_1/cp.ckpt")

class MyLayer(keras.layers.Layer):
    pass

"""
    found = run([sys.executable, "-c", build + first + given + "print(model.name)"], tmp_path)
    assert found.returncode == 0, found.stderr
    for line in commands(page):
        found = run([HOLDFAST, *shlex.split(line)[1:]], tmp_path)
        assert found.returncode == 0, found.stderr
        assert found.stdout


def test_links_and_pictures_of_the_documents_are_there():
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (page.parent / target).is_file(), f"{page.name}: {target}"


def test_every_environment_variable_is_documented_in_one_place():
    table = (ROOT / "src/holdfast/config.py").read_text(encoding="utf-8")
    for module in (ROOT / "src").rglob("*.py"):
        for name in re.findall(r"HOLDFAST_[A-Z_]+", module.read_text(encoding="utf-8")):
            assert f"| {name} |" in table, f"{module.name} uses {name}"
