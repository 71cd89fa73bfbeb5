"""The journal: what was appended is read again, and what was cut off or harmed is told."""

import json
import subprocess
import sys
import textwrap
from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_run import TinyRun, flip

from holdfast import events
from holdfast.errors import DamagedError, HoldfastError
from holdfast.events import (
    AttemptStarted,
    CallBegan,
    CheckpointCommitted,
    CheckpointFailed,
    EpochEnded,
    Failed,
    Finished,
    Measured,
    ModelSaved,
    ProgramDied,
    ProgramEnded,
    ProgramStarted,
    Repaired,
    RolledBack,
    Stopped,
)
from holdfast.run import Run
from holdfast.store import journal
from holdfast.store.journal import Journal
from holdfast.store.verify import verify
from holdfast.types import Position

HERE = Position(1, 2, 12)


def started(attempt, at, back):
    return AttemptStarted(1.0, attempt, at, back, 9, "fused", "jax", "here", 5, {"keras": "3"})


EVENTS = [
    started(1, Position(), 0),
    EpochEnded(2.0, 0, 10, {"loss": 0.5, "note": "näive\n", "bad": float("inf")}),
    CheckpointCommitted(3.0, HERE, False, 100, 0.25),
    Measured(3.5, 1, 4, 10, {"loss": 0.4}),
    RolledBack(3.6, HERE, Position(), 0, 1, "the loss is nan", (3, 4), 0.5),
    ModelSaved(3.7, "best.keras", 1, "val_loss", 0.25),
    CheckpointFailed(4.0, HERE, "No space left on device"),
    Stopped(5.0, HERE, 15),
    Failed(6.0, HERE, "ValueError: no"),
    Finished(7.0, HERE, "epochs"),
    Repaired(8.0, 2),
    ProgramStarted(9.0, 1, ("train.py", "--fast"), "here", 5),
    CallBegan(10.0, 1, "1-sequential", 5, {"weights": "ab", "callbacks": []}),
    ProgramDied(11.0, "SIGKILL", "", 1, 40),
    ProgramEnded(12.0, 0),
]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.jsonl"


def append(path, *written):
    log = Journal(path, journal.read(path))
    for event in written:
        log.append(event)
    log.close()
    return log.size


def sealed(value):
    """A line with a sum that holds, whatever it says."""
    return journal.encode(value)


def test_what_was_appended_is_read_again(path):
    assert journal.read(path).events == []
    append(path, *EVENTS[:3])
    size = append(path, *EVENTS[3:])
    record = journal.read(path)
    assert record.events == EVENTS
    assert (record.size, record.torn, record.damaged) == (size, 0, ())
    assert {type(event) for event in EVENTS} == set(events.Event.__subclasses__())


def test_each_line_is_json_for_anyone(path):
    append(path, *EVENTS)
    names = [json.loads(line)["event"] for line in path.read_text().splitlines()]
    assert names == [event.name for event in EVENTS]


def test_a_tail_torn_at_any_byte_is_dropped_and_appending_goes_on(path):
    size = append(path, EVENTS[0], EVENTS[1])
    append(path, EVENTS[2])
    whole = path.read_bytes()
    for end in range(size, len(whole)):
        path.write_bytes(whole[:end])
        record = journal.read(path)
        assert record.events == EVENTS[:2], end
        assert (record.size, record.torn, record.damaged) == (size, end - size, ())
        append(path, EVENTS[3])
        assert journal.read(path).events == [*EVENTS[:2], EVENTS[3]], end
        assert journal.read(path).damaged == ()


def test_a_tail_of_zeros_is_torn(path):
    """What a power cut leaves where a file's length was durable before its data."""
    size = append(path, *EVENTS[:2])
    with path.open("ab") as file:
        file.write(bytes(300))
    assert (journal.read(path).events, journal.read(path).torn) == (EVENTS[:2], 300)
    append(path, EVENTS[2])
    assert path.read_bytes()[size:].count(0) == 0
    assert journal.read(path).events == EVENTS[:3]


@pytest.mark.parametrize("mask", [0x01, 0x20, 0xFF])
def test_a_byte_flipped_in_the_middle_is_told_and_the_other_lines_are_read(tmp_path, mask):
    first, second, third = EVENTS[0], EVENTS[1], EVENTS[3]
    with TinyRun(tmp_path / "run") as run:
        for event in (first, second, third):
            run.journal.append(event)
        run.commit(1)  # which knows that they are on the disk
    layout = run.layout
    lines = layout.journal.read_bytes().splitlines(keepends=True)
    begin = len(lines[0])
    whole = layout.journal.read_bytes()
    for offset in range(begin, begin + len(lines[1])):
        flip(layout.journal, offset, mask)
        record = journal.read(layout.journal)
        found = record.events
        layout.journal.write_bytes(whole)
        # The newline at its end is what divides it from the next, which goes with it.
        others = [first] if offset == begin + len(lines[1]) - 1 else [first, third]
        if len(others) == 1:
            assert (found, record.torn) == (others, len(whole) - begin)
            continue
        assert found == others, offset
        assert begin in record.damaged
        assert record.torn == 0
    flip(layout.journal, begin + 9, mask)
    (finding,) = verify(layout).findings
    assert finding.file == "journal.jsonl"
    assert f"byte {begin}" in finding.problem


def test_damage_in_the_middle_stays_where_it_is_when_appending_goes_on(path):
    append(path, *EVENTS[:3])
    flip(path, path.stat().st_size // 2)
    harmed = path.read_bytes()
    log = Journal(path, journal.read(path), durable=len(harmed))
    log.append(EVENTS[4])
    log.close()
    assert path.read_bytes().startswith(harmed)
    assert journal.read(path).events[-1] == EVENTS[4]


def test_a_line_that_a_power_cut_took_goes_and_no_other_moves(path):
    """It was not synced, as far as any checkpoint knows, and those after it reached the disk."""
    size = append(path, EVENTS[0])
    append(path, EVENTS[1], EVENTS[3])
    whole = path.read_bytes()
    flip(path, size + 9)
    assert journal.read(path).damage(durable=size + 1) == [size]
    assert journal.read(path).damage(durable=size) == []
    append(path, EVENTS[7])
    record = journal.read(path)
    assert (record.damaged, record.events) == ((), [EVENTS[0], EVENTS[3], EVENTS[7]])
    assert path.read_bytes()[: len(whole)].split() == [whole.splitlines()[0], whole.splitlines()[2]]


def test_verify_tells_of_a_journal_shorter_than_a_checkpoint_knew_it(tmp_path):
    with TinyRun(tmp_path / "run") as run:
        for event in EVENTS[:2]:
            run.journal.append(event)
        run.commit(1)
    assert verify(run.layout).findings == ()
    size = run.layout.journal.stat().st_size
    for length in range(size):
        with run.layout.journal.open("r+b") as file:
            file.truncate(size - 1 - length)
        (finding,) = verify(run.layout).findings
        assert (finding.file, str(size) in finding.problem) == ("journal.jsonl", True)


def test_lived_drops_what_another_future_wrote(path):
    log = Journal(path, journal.read(path))
    epochs = [EpochEnded(1.0, n, 10 * (n + 1), {"loss": float(n)}) for n in range(4)]
    log.append(started(1, Position(), 0))
    log.append(epochs[0])
    back = log.size
    for event in (epochs[1], epochs[2], Failed(2.0, HERE, "killed")):
        log.append(event)
    log.append(started(2, Position(1, 0, 10), back))
    again = EpochEnded(3.0, 1, 20, {"loss": 9.0})
    log.append(again)
    log.close()
    record = journal.read(path)
    assert len(record.events) == 7
    first, second = started(1, Position(), 0), started(2, Position(1, 0, 10), back)
    assert list(record.lived()) == [first, epochs[0], second, again]
    assert Run(path.parent).history.series == {"loss": [(1, 0.0), (2, 9.0)]}


def test_lived_after_going_back_twice_over_the_same_steps(path):
    log = Journal(path, journal.read(path))
    log.append(started(1, Position(), 0))
    begin = log.size
    for attempt in (2, 3):
        log.append(EpochEnded(1.0, 0, 10, {"loss": float(attempt)}))
        log.append(started(attempt, Position(), begin))
    log.append(EpochEnded(1.0, 0, 10, {"loss": 4.0}))
    log.close()
    lived = list(journal.read(path).lived())
    assert [event.attempt for event in lived if isinstance(event, AttemptStarted)] == [1, 2, 3]
    assert [event.logs for event in lived if isinstance(event, EpochEnded)] == [{"loss": 4.0}]


def test_events_and_fields_of_a_later_version_are_ignored(path):
    later = {**EVENTS[3].to_json(), "colour": "blue"}
    path.write_bytes(
        sealed(EVENTS[0].to_json()) + sealed({"event": "sang", "time": 1.0}) + sealed(later)
    )
    record = journal.read(path)
    assert record.events == [EVENTS[0], EVENTS[3]]
    assert (record.damaged, record.torn) == ((), 0)


def test_a_line_of_spaces_is_no_line(path):
    """What a repair leaves where a damaged line was."""
    append(path, *EVENTS[:3])
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b" " * (len(lines[1]) - 1) + b"\n" + lines[2])
    for reading in (journal.read, journal.skim):
        record = reading(path)
        assert record.events == [EVENTS[0], EVENTS[2]]
        assert (record.damaged, record.torn) == ((), 0)
    whole = path.read_bytes()
    path.write_bytes(whole + b"   ")
    assert journal.read(path).torn == 3
    path.write_bytes(whole + b"   \n")
    assert (journal.read(path).size, journal.read(path).torn) == (len(whole) + 4, 0)
    append(path, EVENTS[3])
    assert journal.read(path).events == [EVENTS[0], EVENTS[2], EVENTS[3]]


def test_only_the_kinds_asked_for_are_made(path):
    append(path, *EVENTS[:2])
    with path.open("ab") as file:
        file.write(sealed({**EVENTS[1].to_json(), "epoch": None}))
    append(path, *EVENTS[3:])
    record = journal.skim(path)
    assert record.damaged == ()
    assert journal.read(path).damaged != ()
    others = EVENTS[:2] + EVENTS[3:]
    everything = tuple(map(type, EVENTS))
    for kinds in ((EpochEnded,), (AttemptStarted, Finished), (RolledBack,), everything):
        assert list(record.of(*kinds)) == [event for event in others if isinstance(event, kinds)]
        assert list(record.newest(*kinds)) == list(record.lived(*kinds))[::-1]


def test_a_line_of_two_names_is_damaged(path):
    body = b'{"event":"epoch_ended",' + json.dumps(EVENTS[7].to_json()).encode()[1:]
    path.write_bytes(odd_line(body))
    assert journal.read(path).damaged == (0,)
    assert journal.read(path).events == []


def odd_events():
    """Lines whose sums hold, and that say what no version writes."""
    deep = b'{"event":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    good = EVENTS[2].to_json()
    yield "deep", deep
    yield "no object", b"[1,2]}"
    yield "no name", {"time": 1.0}
    yield "a name that is no text", {"event": ["attempt_started"]}
    yield "an epoch that is none", {**EVENTS[1].to_json(), "epoch": None}
    yield "logs that are a list", {**EVENTS[1].to_json(), "logs": [1]}
    for name in (item.name for item in fields(EVENTS[2])):
        yield f"no {name}", {key: value for key, value in good.items() if key != name}
        yield f"{name} of another type", {**good, name: ["?"]}
    yield "a time that is none", {**good, "time": float("nan")}
    yield "a position that is half", {**good, "position": {"epoch": 1, "step": 2}}
    yield "a position that is none", {**good, "position": {"epoch": 1, "step": 2, "total": 0.5}}
    yield "a position before the first", {**good, "position": {"epoch": 1, "step": 2, "total": -1}}


def odd_line(value):
    if isinstance(value, dict):
        return sealed(value)
    tail = journal.blake3(value).hexdigest()[:16].encode()
    return value[:-1] + b',"b3":"' + tail + b'"}\n'


@pytest.mark.parametrize("odd", [pytest.param(value, id=name) for name, value in odd_events()])
def test_an_odd_line_is_damaged_and_never_cut_off(path, odd):
    line = odd_line(odd)
    append(path, EVENTS[0])
    with path.open("ab") as file:
        file.write(line)
    offset = path.stat().st_size - len(line)
    record = journal.read(path)
    assert record.events == [EVENTS[0]]
    assert (record.damaged, record.torn) == ((offset,), 0)
    append(path, EVENTS[4])
    assert line in path.read_bytes()
    assert journal.read(path).events == [EVENTS[0], EVENTS[4]]
    if isinstance(odd, dict):
        with pytest.raises(DamagedError) as raised:
            events.from_json(odd)
        assert "\n" not in str(raised.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(EVENTS).flatmap(
        lambda event: st.tuples(
            st.just(event), st.sampled_from([*event.to_json(), "more"]), json_values
        )
    )
)
def test_an_event_with_any_field_is_an_event_or_damaged(changed):
    event, name, value = changed
    try:
        found = events.from_json({**event.to_json(), name: value})
    except HoldfastError:
        return
    if found is not None:
        assert journal.decode(journal.encode(found.to_json())[:-1]) is not None
        assert isinstance(getattr(found, "position", HERE), Position)


def test_an_append_that_does_not_fit_leaves_no_part_of_itself_and_comes_later(path):
    append(path, EVENTS[0])
    size = path.stat().st_size
    program = """
        import resource, sys
        from pathlib import Path
        from holdfast.events import Failed
        from holdfast.store import journal
        from holdfast.types import Position
        path = Path(sys.argv[1])
        log = journal.Journal(path, journal.read(path))
        resource.setrlimit(resource.RLIMIT_FSIZE, (log.size + 50, resource.RLIM_INFINITY))
        try:
            log.append(Failed(1.0, Position(), "x" * 100))
        except OSError as error:
            print(error.strerror, path.stat().st_size)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        log.append(Failed(1.0, Position(), "y"))
        log.close()
    """
    said = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == f"File too large {size}\n"
    late, after = (Failed(1.0, Position(), what) for what in ("x" * 100, "y"))
    assert journal.read(path).events == [EVENTS[0], late, after]
    assert journal.read(path).damaged == ()


def test_what_a_rollback_undid_is_not_lived(path):
    """Earlier rollbacks stay when the training goes back once more; attempts always do."""
    begin = append(path, started(1, Position(), 0))
    undone = EpochEnded(2.0, 0, 10, {"loss": 0.5})
    back = [RolledBack(3.0, HERE, Position(), begin, n, "nan", (1,), 0.5) for n in (1, 2)]
    again = EpochEnded(4.0, 0, 10, {"loss": 0.4})
    append(path, undone, back[0], undone, back[1], again)
    assert list(journal.read(path).lived()) == [started(1, Position(), 0), *back, again]


def test_a_rollback_that_no_checkpoint_knows_is_not_lived_by_the_next_attempt(path):
    begin = append(path, started(1, Position(), 0))
    append(path, RolledBack(3.0, HERE, Position(), begin, 1, "nan", (1,), 0.5))
    append(path, started(2, Position(), begin))
    assert list(journal.read(path).lived()) == [
        started(1, Position(), 0),
        started(2, Position(), begin),
    ]
