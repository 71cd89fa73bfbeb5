"""Curves: what is told of a run, in pictures, in characters and in tables."""

import csv
import io
import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from holdfast.callbacks.history import History
from holdfast.errors import MissingExtraError
from holdfast.events import AttemptStarted, EpochEnded, Finished, Measured, RolledBack
from holdfast.history.chart import ASCII, FULL, chart
from holdfast.history.curves import Curves
from holdfast.history.figure import compare, draw
from holdfast.store.identity import Identity, write_identity
from holdfast.store.journal import Journal, read
from holdfast.store.layout import Layout
from holdfast.types import Position

STEPS = 10


def started(attempt=1, epoch=0, step=0, **fields):
    position = Position(epoch, step, epoch * STEPS + step)
    return AttemptStarted(0.0, attempt, position, 0, 8, "fused", "", "here", 1, **fields)


def ended(epoch, **logs):
    return EpochEnded(0.0, epoch, (epoch + 1) * STEPS, logs)


def measured(epoch, step, **logs):
    return Measured(0.0, epoch, step, STEPS, logs)


def rolled_back(epoch, step, number=1):
    position, to = Position(epoch, step, epoch * STEPS + step), Position(epoch, 0, epoch * STEPS)
    return RolledBack(0.0, position, to, 0, number, "the loss is NaN", (3, 5), 0.5)


def finished(epoch, reason):
    return Finished(0.0, Position(epoch, 0, epoch * STEPS), reason)


# Eight epochs; the lowest val_loss is in the fifth, the best val_accuracy in the sixth.
VAL_LOSS = (2.0, 1.5, 1.2, 1.0, 0.9, 1.0, 1.1, 1.3)
VAL_ACCURACY = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.6, 0.5)
EPOCHS = [
    ended(n, loss=1.9 - n / 5, val_loss=VAL_LOSS[n], accuracy=n / 10, val_accuracy=VAL_ACCURACY[n])
    for n in range(8)
]
STORY = [
    started(),
    *EPOCHS[:3],
    started(2, 2, 5),
    rolled_back(3, 4),
    *EPOCHS[3:],
    finished(8, "stopped"),
]


def text_of(runs, width=80, signs=FULL):
    return ["".join(text for text, _ in line).rstrip() for line in chart(runs, width, signs)]


def labels(figure):
    return {text.get_text() for text in figure.legends[0].get_texts()}


def told(rows, events=()):
    history = History()
    history.restore(list(rows))
    history.tell(lambda *kinds: [e for e in events if isinstance(e, kinds)], later=False)
    return history


# What is known of a run


def test_the_curves_have_every_mark_where_it_happened():
    curves = Curves.from_events(STORY)
    assert curves.series["val_loss"] == [(n + 1, value) for n, value in enumerate(VAL_LOSS)]
    assert curves.restarts == [2.5]
    assert curves.rollbacks == [3.4]
    assert curves.stopped == 8
    assert curves.best() == ("val_loss", 5, 0.9)
    assert curves.overfitted() == (5, 8)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"monitor": "val_accuracy"}, ("val_accuracy", 6, 0.7)),
        ({"monitor": "val_accuracy", "mode": "min"}, ("val_accuracy", 1, 0.2)),
        ({"monitor": "loss", "mode": "max"}, ("loss", 1, 1.9)),
        # A metric that no epoch has: its mode says nothing of the loss.
        ({"monitor": "val_auc", "mode": "max"}, ("val_loss", 5, 0.9)),
        ({"monitor": ""}, ("val_loss", 5, 0.9)),
    ],
)
def test_the_best_epoch_is_judged_by_the_monitor_of_the_newest_attempt(fields, expected):
    events = [started(monitor="accuracy"), *EPOCHS, started(2, 8, **fields)]
    assert Curves.from_events(events).best() == expected


def test_without_validation_the_loss_judges_and_nan_is_never_best():
    losses = (math.nan, 0.5, math.inf, 0.5, math.nan)
    events = [started(), *(ended(n, loss=loss) for n, loss in enumerate(losses))]
    curves = Curves.from_events(events)
    assert curves.best() == ("loss", 2, 0.5)
    assert curves.overfitted() is None
    assert Curves.from_events([started(), ended(0, loss=math.nan)]).best() is None


def test_a_run_that_ran_to_its_end_or_went_on_was_not_stopped_early():
    assert Curves.from_events([*STORY[:-1], finished(8, "epochs")]).stopped is None
    assert Curves.from_events([*STORY, started(3, 8)]).stopped is None


def test_a_mark_in_an_epoch_that_never_ended_is_where_the_others_say_it_is():
    curves = Curves.from_events([started(), ended(0, loss=1.0), started(2, 1, 5)])
    assert curves.restarts == [1.5]
    curves = Curves.from_events([started(), measured(0, 2, loss=1.0), started(2, 0, 5)])
    assert curves.restarts == [0.5]


def test_a_lost_line_of_the_journal_moves_no_mark():
    events = [started(), EPOCHS[0], EPOCHS[2], started(2, 2, 5)]
    assert Curves.from_events(events).restarts == [2.5]


def test_what_was_measured_within_epochs_is_at_its_part_of_the_epoch():
    curves = Curves.from_events([measured(0, 5, loss=2.0), measured(1, 2, loss=1.0, lr="fast")])
    assert curves.points == {"loss": [(0.5, 2.0), (1.2, 1.0)]}


# History


def test_history_tells_its_rollbacks_points_and_best_epoch():
    rows = [(event.epoch, dict(event.logs)) for event in EPOCHS]
    history = told(rows, [*STORY, measured(7, 5, loss=0.4)])
    assert history.restarts == [2.5]
    assert [(event.number, event.samples) for event in history.rollbacks] == [(1, (3, 5))]
    assert history.points == {"loss": [(7.5, 0.4)]}
    assert history.best_epoch == 4
    assert history.history["val_loss"][history.epoch.index(history.best_epoch)] == 0.9


def test_the_epochs_of_history_do_not_depend_on_the_journal():
    rows = [(event.epoch, dict(event.logs)) for event in EPOCHS]
    history = told(rows, [started(), *EPOCHS[5:]])
    line = next(line for line in history.plot().axes[0].lines if line.get_label() == "validation")
    assert list(line.get_ydata()) == list(VAL_LOSS)


def test_restarts_that_are_assigned_are_drawn():
    history = told([(0, {"loss": 2.0}), (1, {"loss": 1.0})])
    history.restarts = [0.5, 1.5]
    assert "restart (2)" in labels(history.plot())


SPARSE = [(0, {"loss": 0.1 + 0.2}), (1, {"loss": math.nan, "val_loss": 1.5}), (2, {"loss": 1e-9})]


def test_csv_has_a_row_an_epoch_and_empty_cells():
    text = told(SPARSE).to_csv()
    assert text.splitlines()[0] == "epoch,loss,val_loss"
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    assert [row["val_loss"] for row in rows] == ["", "1.5", ""]
    assert float(rows[0]["loss"]) == 0.1 + 0.2
    assert math.isnan(float(rows[1]["loss"]))


def test_csv_quotes_names_and_is_written_whole(tmp_path):
    history = told([(0, {'a "strange", name': 1.0})])
    target = tmp_path / "epochs.csv"
    target.write_text("what was there before, and longer than what comes")
    assert history.to_csv(target) is None
    assert target.read_text() == history.to_csv()
    assert next(csv.DictReader(target.open()))['a "strange", name'] == "1.0"
    assert list(tmp_path.iterdir()) == [target]


def test_csv_that_cannot_be_written_names_the_file(tmp_path):
    target = tmp_path / "nowhere" / "epochs.csv"
    with pytest.raises(OSError, match="No such file") as caught:
        told(SPARSE).to_csv(target)
    assert caught.value.filename == str(target)


def test_csv_of_no_epoch_is_the_heading():
    assert told([]).to_csv() == "epoch\n"


def test_a_dataframe_has_the_same_rows_and_columns():
    pandas = pytest.importorskip("pandas")
    frame = told(SPARSE).to_dataframe()
    assert list(frame.columns) == ["epoch", "loss", "val_loss"]
    assert list(frame["epoch"]) == [0, 1, 2]
    assert list(frame["val_loss"].isna()) == [True, False, True]
    read_back = pandas.read_csv(io.StringIO(told(SPARSE).to_csv()))
    pandas.testing.assert_frame_equal(frame, read_back)


def test_a_dataframe_without_pandas_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtraError, match=r"holdfast\[pandas\]"):
        told(SPARSE).to_dataframe()


# Pictures


def pixels(figure):
    """The picture as someone sees it in black and white: brightness from 0 to 1."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].mean(axis=-1) / 255


def test_the_picture_has_every_mark_and_says_which_is_which():
    figure = draw(Curves.from_events([*STORY[:-1], measured(7, 5, loss=0.4), STORY[-1]]))
    assert [axes.get_title() for axes in figure.axes] == ["loss", "accuracy"]
    assert labels(figure) == {
        "train", "validation", "best epoch (5, by val_loss)", "within epochs", "restart (1)",
        "rollback (1)", "stopped early (8)", "after the lowest val_loss",
    }  # fmt: skip


def test_the_marks_differ_without_colour():
    axes = draw(Curves.from_events(STORY)).axes[0]
    looks = {
        label: (line.get_linestyle(), line.get_marker())
        for line in axes.lines
        if not (label := line.get_label()).startswith("_")
    }
    assert len(set(looks.values())) == len(looks) == 6


def test_what_came_after_the_lowest_val_loss_is_darker_in_black_and_white():
    shaded = Curves.from_events(STORY)
    falling = Curves.from_events([started(), *EPOCHS[:5]])
    picture = draw(shaded)
    pixels(picture)
    axes = picture.axes[0]
    top = [axes.transData.transform((epoch, 2.0))[0] for epoch in (3.5, 6.5)]
    row = axes.bbox.y1 - 4
    image = pixels(picture)
    before, after = (image[int(image.shape[0] - row), int(column)] for column in top)
    assert before == 1.0
    assert 0.85 < after < 0.97
    assert "after the lowest val_loss" not in labels(draw(falling))


def test_losses_that_are_no_numbers_are_marked_and_break_no_picture():
    events = [started(), *(ended(n, loss=value) for n, value in enumerate((1.0, math.nan, 2.0)))]
    figure = draw(Curves.from_events(events))
    odd = next(line for line in figure.axes[0].lines if line.get_label() == "NaN or infinite")
    assert list(odd.get_xdata()) == [2]
    only = draw(Curves.from_events([started(), ended(0, loss=math.nan)]))
    assert pixels(only).min() < 0.5
    assert labels(only) == {"train", "NaN or infinite"}


def test_one_epoch_is_seen():
    axes = draw(Curves.from_events([started(), ended(0, loss=1.0)])).axes[0]
    assert axes.lines[0].get_marker() == "o"


@pytest.mark.parametrize("count", [2, 9])
def test_runs_that_are_compared_differ_without_colour(count):
    curves = Curves.from_events(STORY)
    figure = compare({f"run {n}": curves for n in range(count)})
    handles = figure.legends[0].legend_handles
    named = zip(figure.legends[0].get_texts(), handles, strict=True)
    looks = [
        (handle._unscaled_dash_pattern, handle.get_marker())
        for text, handle in named
        if text.get_text().startswith("run ")
    ]
    assert len(looks) == count
    assert all(one != other for n, one in enumerate(looks) for other in looks[:n])


def test_compared_runs_share_panels_and_each_has_its_star():
    with_all = Curves.from_events(STORY)
    loss_only = Curves.from_events([started(), ended(0, loss=2.0), ended(1, loss=3.0)])
    figure = compare({"all": with_all, "loss_only": loss_only})
    assert [axes.get_title() for axes in figure.axes] == ["loss", "accuracy"]
    stars = [
        [tuple(line.get_xydata()[0]) for line in axes.lines if line.get_marker() == "*"
         and len(line.get_xdata())]
        for axes in figure.axes
    ]  # fmt: skip
    assert stars == [[(5.0, 0.9), (1.0, 2.0)], [(5.0, 0.6)]]
    assert {"all", "loss_only", "thin: train", "heavy: validation"} <= labels(figure)


def test_names_with_dollars_are_shown_as_they_are():
    runs = {"5$ and $_{": Curves.from_events(STORY), "b": Curves.from_events(STORY)}
    figure = compare(runs, "$_{")
    assert pixels(figure).min() < 0.5
    assert "5$ and $_{" in labels(figure)


# Charts in characters


@pytest.mark.parametrize("width", [24, 40, 80, 160])
def test_a_chart_is_no_wider_than_it_may_be(width):
    name = "a-run-with-a-name-that-is-longer-than-a-narrow-terminal-is-wide"
    events = [*STORY, ended(8, loss=math.nan, a_metric_with_quite_a_long_name_of_its_own=1e12)]
    curves = Curves.from_events(events)
    for runs in ({name: curves}, {name: curves, "other": curves}):
        assert max(map(len, text_of(runs, width))) <= width


def test_a_chart_has_numbers_epochs_and_a_legend():
    lines = text_of({"digits": Curves.from_events(STORY)})
    text = "\n".join(lines)
    headings = [line.strip() for line in lines if line.strip() in ("loss", "accuracy")]
    assert headings == ["loss", "accuracy"]
    assert [line.split()[0] for line in lines[1:13] if "┤" in line] == ["2.0", "1.5", "1.0", "0.5"]
    epochs = next(line for line in lines if line.startswith("epoch"))
    assert epochs.split() == ["epoch", *"12345678"]
    for said in (
        "· train", "● validation", "★ best epoch 5 (val_loss 0.9)", "> restart (1)",
        "< rollback (1)", "X stopped early (8)",
    ):  # fmt: skip
        assert said in text


def test_a_chart_puts_values_and_marks_where_they_belong():
    lines = text_of({"digits": Curves.from_events(STORY)}, signs=ASCII)
    plot, axis, epochs = lines[1:13], lines[13], lines[14]
    columns = {number: epochs.index(number) for number in "12345678"}
    # The star stands over epoch 5, and no point of validation is lower.
    row = next(n for n, line in enumerate(plot) if "*" in line)
    assert plot[row].index("*") == columns["5"]
    assert not any("o" in line for line in plot[row + 1 :])
    assert plot[0][columns["1"]] == "o"
    assert plot[-1][columns["8"]] == "."
    assert columns["2"] < axis.index(">") < columns["3"] < axis.index("<") < columns["4"]
    assert axis.rindex("X") == columns["8"]


def test_a_chart_without_unicode_is_ascii():
    assert "\n".join(text_of({"digits": Curves.from_events(STORY)}, signs=ASCII)).isascii()


def test_a_chart_breaks_where_there_is_no_number():
    losses = (1.0, 2.0, math.nan, 2.0, 1.0)
    curves = Curves.from_events([ended(n, loss=value) for n, value in enumerate(losses)])
    lines = text_of({"digits": curves}, signs=ASCII)
    column = lines[14].index("3")
    assert not any("." in line[column : column + 1] for line in lines[1:13])
    assert "loss is NaN or infinite in epoch 3" in lines[-1]


def test_a_chart_of_many_epochs_shows_the_whole_course():
    curves = Curves.from_events([ended(n, loss=float(n)) for n in range(300)])
    lines = text_of({"digits": curves}, signs=ASCII)
    assert lines[1].rstrip().endswith(".")
    assert "300" in lines[14]
    assert all("." in line or "*" in line for line in lines[1:13])


@pytest.mark.parametrize(
    "losses", [(3.0,), (3.0, 3.0), (0.0,), (1e308, -1e308), (5e-324, 1e-323), (math.inf,)]
)
def test_a_chart_of_any_values(losses):
    curves = Curves.from_events([ended(n, loss=value) for n, value in enumerate(losses)])
    text = "\n".join(text_of({"digits": curves}, signs=ASCII))
    assert ("*" in text) == bool(curves.best())
    assert "epoch 1" in " ".join(text.split())


def test_a_chart_of_an_epoch_under_way_shows_what_was_measured():
    curves = Curves.from_events([started(), measured(0, 2, loss=2.0), measured(0, 8, loss=1.0)])
    lines = text_of({"digits": curves}, signs=ASCII)
    assert "." in lines[1]
    assert "." in lines[12]


def test_compared_runs_are_letters_small_for_train():
    curves = Curves.from_events(STORY)
    worse = Curves.from_events([ended(n, loss=3.0, val_loss=4.0) for n in range(3)])
    lines = text_of({"good": curves, "bad": worse}, signs=ASCII)
    assert "B" in lines[1]
    assert "A good: best epoch 5 (val_loss 0.9)" in lines
    assert "B bad: best epoch 1 (val_loss 4)" in lines
    drawn = "".join(line[7:] for line in lines[1:13])
    assert set("aAbB") <= set(drawn)


# The command line, on journals as a training writes them


@pytest.fixture
def run_at(tmp_path):
    def make(name, events):
        root = tmp_path / name
        root.mkdir(parents=True)
        layout = Layout(root)
        write_identity(layout, Identity("a" * 16, 1.5, {}, {"epochs": 8}, None))
        journal = Journal(layout.journal, read(layout.journal))
        for event in events:
            # Where it went back to is where it stands: nothing is undone.
            back = {"journal": journal.size} if hasattr(event, "journal") else {}
            journal.append(replace(event, **back))
        journal.close()
        return root

    return make


def plot(*arguments, **environment):
    program = (
        "import sys\n"
        "from holdfast.cli.main import main\n"
        "try:\n"
        "    main(['plot', *sys.argv[1:]])\n"
        "finally:\n"
        "    heavy = {'keras', 'jax', 'numpy', 'pandas', 'matplotlib'} & set(sys.modules)\n"
        "    assert not heavy, heavy\n"
    )
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        env={"PYTHONIOENCODING": "utf-8", "COLUMNS": "70", **environment},
        check=False,
    )


def test_the_chart_fits_the_terminal_and_needs_nothing_heavy(run_at):
    done = plot(run_at("digits", STORY))
    assert (done.returncode, done.stderr) == (0, b"")
    lines = done.stdout.decode().splitlines()
    assert max(map(len, lines)) == 70
    assert "★ best epoch 5 (val_loss 0.9)" in done.stdout.decode()
    assert b"\x1b" not in done.stdout


def test_the_chart_is_in_characters_that_the_output_has(run_at):
    done = plot(run_at("digits", STORY), PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert b"* best epoch 5" in done.stdout
    assert b"\\u" not in done.stdout


def test_the_chart_has_colours_in_a_terminal_that_wants_them(run_at):
    done = plot(run_at("digits", STORY), FORCE_COLOR="1", TERM="xterm-256color")
    assert b"\x1b[" in done.stdout


def test_names_that_a_terminal_would_obey_are_spelt_out(run_at):
    events = [ended(0, **{"loss\x1b[31m": 1.0, "loss": 1.0})]
    done = plot(run_at("dig\x1b[31mits", events), run_at("other", events))
    assert done.returncode == 0
    assert b"\x1b" not in done.stdout
    assert rb"dig\x1b[31mits" in done.stdout


def test_plot_as_json_has_curves_and_marks_of_each_run(run_at):
    first = run_at("digits", [*STORY[:-1], measured(7, 5, loss=math.nan), STORY[-1]])
    second = run_at("deep/other", [ended(0, loss=1.0)])
    done = plot("--json", first, second)
    assert done.returncode == 0
    one, other = json.loads(done.stdout)["runs"]
    assert (one["name"], one["path"]) == ("digits", str(first))
    assert one["best"] == {"metric": "val_loss", "epoch": 5, "value": 0.9}
    assert one["series"]["val_loss"] == [[n + 1, value] for n, value in enumerate(VAL_LOSS)]
    assert one["points"] == {"loss": [[7.5, None]]}
    assert (one["stopped"], one["restarts"], one["rollbacks"]) == (8, [2.5], [3.4])
    assert other["name"] == "other"
    assert (other["stopped"], other["best"]["metric"]) == (None, "loss")


def test_two_runs_of_the_same_name_are_told_apart(run_at, tmp_path):
    paths = [run_at(f"{folder}/digits", STORY) for folder in ("monday", "tuesday")]
    text = " ".join(plot(*paths, COLUMNS="300").stdout.decode().split())
    for path in paths:
        assert f"{path}: best epoch 5" in text


def test_plot_compares_in_a_picture(run_at, tmp_path):
    from holdfast.cli.main import main

    target = tmp_path / "both.svg"
    paths = [str(run_at(name, STORY)) for name in ("monday", "tuesday")]
    with pytest.raises(SystemExit) as end:
        main(["plot", *paths, "-o", str(target)])
    assert end.value.code == 0
    assert Path(target).read_text().count("<!-- monday -->") == 1


def test_json_and_a_picture_exclude_each_other(run_at, tmp_path):
    done = plot(run_at("digits", STORY), "--json", "-o", tmp_path / "digits.png")
    assert done.returncode == 2
    assert b"--json and --output" in done.stderr
    assert not (tmp_path / "digits.png").exists()


def test_a_run_without_an_epoch_is_named(run_at):
    done = plot(run_at("digits", STORY), run_at("young", [started()]))
    assert done.returncode == 1
    assert b"young: no epoch has ended yet" in done.stderr


def test_long_epochs_are_measured_within_about_once_a_second(blobs, tmp_path):
    import time

    import keras
    from test_exact import arguments

    from holdfast import Run
    from holdfast.events import Measured

    slow = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: time.sleep(0.5))
    run = Run(tmp_path / "run")
    history = run.fit(**arguments(blobs, [slow], epochs=2))
    found = [event for event in run.journal().events if isinstance(event, Measured)]
    # 2 epochs of 5 steps of half a second: at steps 2 and 4 of each, give or take one.
    assert 2 <= len(found) <= 6
    assert {event.epoch for event in found} == {0, 1}
    assert all(0 < event.step < event.steps == 5 for event in found)
    assert set(found[0].logs) == {"loss", "accuracy"}
    assert len(history.points["loss"]) == len(found)
