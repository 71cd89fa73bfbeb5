"""A whole lesson, with seven calls of fit: killed, it goes on in the right one."""

import shutil

import pytest
from old_programs import KILLS, PROGRAMS, finish, killed_as_not_killed, runs, without_tensorflow
from turns import at_most

pytestmark = without_tensorflow

# It is a long program.
FEW = at_most(1, KILLS)


@pytest.fixture(scope="module")
def lesson(tmp_path_factory):
    """A directory in which the whole lesson was killed again and again, and came to its end."""
    folder = killed_as_not_killed("e_lesson", tmp_path_factory.mktemp("lesson"), FEW)
    assert len(runs(folder, "e_lesson")) == 7
    return folder


def attempts(run):
    return sum(event.name == "attempt_started" for event in run.journal().events)


def test_the_lesson_goes_on_in_the_right_call(lesson):
    """Calls that had finished were not gone into again."""
    for run in runs(lesson, "e_lesson"):
        names = [event.name for event in run.journal().events]
        assert names.count("finished") == 1
        assert "attempt_started" not in names[names.index("finished") :]


def test_a_changed_program_is_trained_anew_from_the_change_on(lesson, tmp_path):
    folder = shutil.copytree(lesson, tmp_path / "lesson")
    before = [run.digest() for run in runs(folder, "e_lesson")]
    program = tmp_path / "e_lesson.py"
    text = (PROGRAMS / "e_lesson.py").read_text()
    assert text.count("learning_rate=0.001") == 1
    program.write_text(text.replace("learning_rate=0.001", "learning_rate=0.002"))
    _, said = finish(folder, program, "--name", "e_lesson")
    after = [run.digest() for run in runs(folder, "e_lesson")]
    assert [then == now for then, now in zip(before, after, strict=True)][:3] == [True, True, False]
    assert [attempts(run) for run in runs(folder, "e_lesson")][2:] == [1] * 5
    assert "call 3 of fit" in said
    assert "learning_rate" in said
    assert "0.001" in said
    assert "0.002" in said
