"""The ledger by itself: what any damage to its bytes may cost."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from avel_tf.events.result import Result
from avel_tf.inference.run_journal import TWICE, RunJournal, RunJournalError

SETUP = {"model": "demo/1", "inference.window_seconds": 10, "media.max_frame_rate": 120.0}
NAMES = ["a.mp4", "line\nbreak.mp4", "\udcff.mp4", "ä😀.mp4", "-rf.mp4", "%03d.mp4"]


def open_ledger(folder: Path, inputs: list[str], **options) -> RunJournal:
    return RunJournal(folder / "out", inputs, setup=SETUP, model="demo/1", **options)


def make_files(folder: Path) -> list[str]:
    paths = [os.path.join(folder, name) for name in NAMES]
    for path in paths:
        with open(path, "wb") as file:
            file.write(b"film")
    return paths


@pytest.fixture
def inputs(tmp_path: Path) -> list[str]:
    return make_files(tmp_path)


def result_of(path: str) -> Result:
    if path.endswith("a.mp4"):
        return Result(path, "quarantined", "it is broken", model="demo/1")
    return Result(path, "ok", None, len(os.path.basename(path)) / 7, model="demo/1")


def do(journal: RunJournal, paths: list[str]) -> None:
    for path in paths:
        journal.attempt(path)
        journal.record(result_of(path))


def die(journal: RunJournal) -> None:
    """What kill -9 leaves: no more than the closed files."""
    journal._file.close()
    journal._lock.release()


def test_what_was_recorded_comes_back_in_the_order_of_the_inputs(tmp_path, inputs):
    with open_ledger(tmp_path, inputs) as journal:
        assert journal.waiting == inputs and journal.retry_alone == [] and journal.done == 0
        do(journal, inputs[::-1])
        first = list(journal.results())
    assert [each.video for each in first] == inputs
    with open_ledger(tmp_path, inputs) as journal:
        assert journal.waiting == [] and journal.done == len(inputs)
        assert [each.to_json() for each in journal.results()] == [
            result_of(path).to_json() for path in inputs
        ]


def test_the_attempt_is_on_the_file_before_its_call_returns(tmp_path, inputs):
    with open_ledger(tmp_path, inputs) as journal:
        journal.attempt(inputs[2])
        last = (tmp_path / "out" / "ledger.jsonl").read_bytes().splitlines()[-1]
        assert json.loads(last)["attempt"] == inputs[2] and last.isascii()


def test_other_inputs_see_their_own_results_only(tmp_path, inputs):
    with open_ledger(tmp_path, inputs[:3]) as journal:
        do(journal, inputs[:3])
    with open_ledger(tmp_path, inputs[2:]) as journal:
        assert journal.waiting == inputs[3:]
        assert [each.video for each in journal.results()] == inputs[2:3]


def test_a_death_makes_suspects_and_the_second_ends_it(tmp_path, inputs):
    journal = open_ledger(tmp_path, inputs).__enter__()
    do(journal, inputs[:1])
    for path in inputs[1:4]:
        journal.attempt(path)
    die(journal)
    journal = open_ledger(tmp_path, inputs).__enter__()
    assert journal.waiting == inputs[4:] and journal.retry_alone == inputs[1:4]
    do(journal, inputs[1:2])  # innocent
    journal.attempt(inputs[2])
    die(journal)
    with open_ledger(tmp_path, inputs) as journal:
        assert journal.waiting == inputs[4:] and journal.retry_alone == inputs[3:4]
        by_path = {each.video: each for each in journal.results()}
    assert by_path[inputs[2]].reason == TWICE and by_path[inputs[2]].status == "quarantined"
    assert by_path[inputs[1]] == result_of(inputs[1])


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError("no room")])
def test_an_end_in_order_blames_nobody(tmp_path, inputs, error):
    for _ in range(3):
        with pytest.raises(type(error)), open_ledger(tmp_path, inputs) as journal:
            journal.attempt(inputs[0])
            raise error
    with open_ledger(tmp_path, inputs) as journal:
        assert journal.waiting == inputs and not journal.retry_alone


def test_any_other_error_is_a_death(tmp_path, inputs):
    with pytest.raises(RuntimeError), open_ledger(tmp_path, inputs) as journal:
        journal.attempt(inputs[0])
        raise RuntimeError("a bug")
    with open_ledger(tmp_path, inputs) as journal:
        assert journal.retry_alone == inputs[:1]


def test_a_file_that_changed_is_no_suspect_any_more(tmp_path, inputs):
    for _ in range(2):
        journal = open_ledger(tmp_path, inputs).__enter__()
        journal.attempt(inputs[0])
        die(journal)
    with open(inputs[0], "ab") as file:
        file.write(b"!")
    with open_ledger(tmp_path, inputs) as journal:
        assert journal.waiting == inputs


def test_files_that_change_under_the_run_are_done_again(tmp_path, inputs):
    with open_ledger(tmp_path, inputs) as journal:
        journal.attempt(inputs[1])
        with open(inputs[1], "ab") as file:
            file.write(b"!")
        journal.record(result_of(inputs[1]))
        do(journal, [inputs[0], *inputs[2:]])
    with open_ledger(tmp_path, inputs) as journal:
        assert journal.waiting == [inputs[1]]


def test_changed_permissions_let_a_quarantined_file_be_retried(tmp_path, inputs):
    with open_ledger(tmp_path, inputs) as journal:
        do(journal, inputs)  # the first is quarantined
    for path in inputs:
        os.chmod(path, 0o600)
    with open_ledger(tmp_path, inputs) as journal:
        assert journal.waiting == inputs[:1]


def test_a_missing_file_is_tried_once_and_again_when_it_appears(tmp_path):
    missing = str(tmp_path / "later.mp4")
    with open_ledger(tmp_path, [missing]) as journal:
        journal.attempt(missing)
        journal.record(Result(missing, "quarantined", "no such file"))
    with open_ledger(tmp_path, [missing]) as journal:
        assert journal.done == 1
    Path(missing).write_bytes(b"film")
    with open_ledger(tmp_path, [missing]) as journal:
        assert journal.waiting == [missing]


def test_a_second_run_another_setup_and_a_newer_ledger_are_refus(tmp_path, inputs):
    with open_ledger(tmp_path, inputs) as journal:
        do(journal, inputs[:1])
        with pytest.raises(RunJournalError, match=rf"Another run .*process {os.getpid()}"):
            open_ledger(tmp_path, inputs).__enter__()
    other = RunJournal(tmp_path / "out", inputs, setup={**SETUP, "new": 1}, model="demo/1")
    with pytest.raises(RunJournalError, match="new None, now 1.*--fresh"):
        other.__enter__()
    path = tmp_path / "out" / "ledger.jsonl"
    newer = {"ledger": 2, "died": False, "setup": SETUP}
    path.write_bytes(json.dumps(newer).encode() + b"\n")
    with pytest.raises(RunJournalError, match="newer avel-tf"):
        open_ledger(tmp_path, inputs).__enter__()
    with open_ledger(tmp_path, inputs, fresh=True) as journal:
        assert journal.waiting == inputs


def test_results_without_a_ledger_are_not_replaced(tmp_path, inputs):
    """A live stream leaves such, and cannot be labelled again."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "results.jsonl").write_text("a stream\n")
    with pytest.raises(RunJournalError, match=r"--fresh"), open_ledger(tmp_path, inputs):
        pass
    assert [path.name for path in out.iterdir()] == ["results.jsonl"]
    with open_ledger(tmp_path, inputs, fresh=True) as journal:
        do(journal, inputs)
    with open_ledger(tmp_path, inputs) as journal:  # with its own ledger beside them
        assert journal.done == len(inputs)


def test_after_its_end_nothing_can_be_noted(tmp_path, inputs):
    """A decoding thread may outlive a run, and the descriptor may be another file's by then."""
    with open_ledger(tmp_path, inputs) as journal:
        pass
    with pytest.raises(RunJournalError, match="has ended"):
        journal.attempt(inputs[0])


def test_a_short_write_leaves_no_part_of_a_line(tmp_path, inputs, monkeypatch):
    ledger_file = tmp_path / "out" / "ledger.jsonl"
    write = os.write
    with open_ledger(tmp_path, inputs) as journal:
        do(journal, inputs[:2])
        before = ledger_file.read_bytes()
        # As a disk does on which ten bytes are free.
        monkeypatch.setattr(os, "write", lambda handle, data: write(handle, data[:10]))
        with pytest.raises(OSError, match=r"No space left.*Free space.*run the same command again"):
            journal.attempt(inputs[2])
        monkeypatch.undo()
        assert ledger_file.read_bytes() == before and journal.failure is not None
        do(journal, inputs[2:3])
    with open_ledger(tmp_path, inputs) as journal:
        assert journal.done == 3


def test_memory_does_not_hold_results(tmp_path):
    """Results of any size: the ledger's own state is a few bytes for each."""
    import tracemalloc

    inputs = [str(tmp_path / f"{number}.mp4") for number in range(20_000)]
    tracemalloc.start()
    with open_ledger(tmp_path, inputs) as journal:
        before = tracemalloc.get_traced_memory()[0]
        for path in inputs[:2_000]:
            journal.attempt(path)
            journal.record(Result(path, "quarantined", "x" * 1_000))
        grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 200_000  # two million bytes of reasons went through


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str], bytes]:
    """A ledger of three sessions, the first of which died."""
    folder = tmp_path_factory.mktemp("ledger")
    inputs = make_files(folder)
    journal = open_ledger(folder, inputs).__enter__()
    do(journal, inputs[:2])
    journal.attempt(inputs[2])
    die(journal)
    for path in inputs[3:5]:
        with open_ledger(folder, inputs) as journal:
            do(journal, [path])
    return folder, inputs, (folder / "out" / "ledger.jsonl").read_bytes()


def done_in(content: bytes) -> list[str]:
    """By its own light: the inputs of which whole lines hold a result."""
    lines = content.split(b"\n")[:-1]
    return [r["result"]["video"] for r in map(json.loads, lines) if "result" in r]


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_beginning_of_a_ledger_loses_at_most_its_last_line(written, data):
    folder, inputs, content = written
    cut = data.draw(st.integers(0, len(content)))
    (folder / "out" / "ledger.jsonl").write_bytes(content[:cut])
    (folder / "out" / "ledger.lock").unlink(missing_ok=True)
    with open_ledger(folder, inputs) as journal:
        found = [each.video for each in journal.results()]
        assert found == [path for path in inputs if path in done_in(content[:cut])]
        assert sorted([*found, *journal.waiting, *journal.retry_alone]) == sorted(inputs)
        do(journal, journal.waiting + journal.retry_alone)
    # What was torn is gone, and the new lines stand on their own.
    again = (folder / "out" / "ledger.jsonl").read_bytes()
    assert sorted(set(done_in(again))) == sorted(inputs)
    with open_ledger(folder, inputs) as journal:
        assert [each.to_json() for each in journal.results()] == [
            result_of(path).to_json() for path in inputs
        ]


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_whatever_bytes_stand_in_it_every_input_has_its_place(written, data):
    """Overwritten, or full of zeros, as after a power cut."""
    folder, inputs, content = written
    begin = data.draw(st.integers(0, len(content) - 1))
    junk = data.draw(st.binary(min_size=1, max_size=80) | st.just(b"\0" * 300))
    damaged = content[:begin] + junk + content[begin + len(junk) :]
    (folder / "out" / "ledger.jsonl").write_bytes(damaged)
    try:
        with open_ledger(folder, inputs) as journal:
            found = [each.video for each in journal.results()]
            assert sorted([*found, *journal.waiting, *journal.retry_alone]) == sorted(inputs)
    except RunJournalError as error:
        # The setup itself was hit.
        assert "of another setup" in str(error) or "newer avel-tf" in str(error)


@pytest.mark.parametrize(
    "line",
    [
        *(b"[]", b"1", b"null", b'"text"', b"{}", b"[" * 100_000, b'{"result": {}}'),
        *(b'{"attempt": 5, "stamp": null}', b'{"ledger": "x", "setup": {}, "died": 1}'),
        *(b'{"attempt": "a.mp4", "stamp": 5}', b'{"attempt": "a.mp4", "stamp": [1]}'),
        *(b'{"attempt": "a.mp4"}', b'{"attempt": "\xff", "stamp": null}'),
    ],
)
def test_a_line_that_is_no_record_is_passed_over(tmp_path, inputs, line):
    with open_ledger(tmp_path, inputs) as journal:
        do(journal, inputs[:2])
    with open(tmp_path / "out" / "ledger.jsonl", "ab") as file:
        file.write(line + b"\n")
    with open_ledger(tmp_path, inputs) as journal:
        assert journal.done == 2
        do(journal, inputs[2:])
        assert len(list(journal.results())) == len(inputs)
