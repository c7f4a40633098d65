"""Shards and their manifest: one session at a time commits, and every input once."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from avel_tf.cluster.infer import ClusterSummary
from avel_tf.cluster.journal import ClusterJournal
from avel_tf.cluster.result_store import Line, ResultStore
from avel_tf.events.result import Result
from avel_tf.events.result_shards import read_all_results
from avel_tf.inference.run_journal import RunJournalError
from avel_tf.utils.storage import open_storage

SETUP = {"model": "demo/1"}


def line(video: str, stamp: int = 1) -> Line:
    return Line(video, Result(video, "ok", model="demo/1").to_json(), [stamp, stamp], "ok")


def begun(folder, setup=SETUP, **options) -> ResultStore:
    store = ResultStore(open_storage(folder))
    store.begin(setup, **options)
    return store


def videos(folder) -> list[str]:
    return [result.video for result in read_all_results(folder)]


def test_a_later_session_ends_an_earlier_one(tmp_path):
    first = begun(tmp_path)
    first.commit([line("a.mp4")])
    second = begun(tmp_path)
    assert set(second.committed()) == {"a.mp4"}
    with pytest.raises(RunJournalError, match="Another run"):
        first.commit([line("b.mp4")])
    second.commit([line("c.mp4")])
    with pytest.raises(RunJournalError, match="Another run"):
        first.record_death({"b.mp4": (1, None)})
    assert videos(tmp_path) == ["a.mp4", "c.mp4"]
    # The shard that the first session could not commit is removed by the next one.
    assert len(list((tmp_path / "shards").glob("*.jsonl"))) == 3
    begun(tmp_path)
    assert len(list((tmp_path / "shards").glob("*.jsonl"))) == 2
    assert videos(tmp_path) == ["a.mp4", "c.mp4"]


def test_a_shard_without_an_entry_does_not_count(tmp_path):
    begun(tmp_path).commit([line("a.mp4")])
    (tmp_path / "shards" / "00000000-000001.jsonl").write_text(line("b.mp4").text + "\n")
    (tmp_path / "shards" / ".writing-0123abcd").write_text("{")
    assert videos(tmp_path) == ["a.mp4"]
    begun(tmp_path)
    assert sorted(path.name for path in (tmp_path / "shards").iterdir()) == [
        "00000000-000000.jsonl",
        "00000000-000000.parquet",
    ]


def test_results_of_changed_inputs_are_replaced(tmp_path):
    store = begun(tmp_path)
    store.commit([line("a.mp4"), line("b.mp4")])
    store.commit([line("c.mp4")])
    store.discard({"b.mp4"})
    assert sorted(videos(tmp_path)) == ["a.mp4", "c.mp4"]
    store.commit([line("b.mp4", stamp=2)])
    assert sorted(videos(tmp_path)) == ["a.mp4", "b.mp4", "c.mp4"]
    assert begun(tmp_path).committed()["b.mp4"] == ([2, 2], "ok")


def test_results_held_by_a_dead_session_are_not_lost(tmp_path):
    store = begun(tmp_path)
    for name in ("a.mp4", "b.mp4"):
        store.hold(line(name))
    store.commit([line("a.mp4"), line("b.mp4")])
    store.hold(line("c.mp4"))
    (held,) = tmp_path.glob("held-*.jsonl")
    with open(held, "ab") as file:
        file.write(b'{"video": "d.mp4", "te')  # it died while it wrote this line
    assert videos(tmp_path) == ["a.mp4", "b.mp4"]
    second = begun(tmp_path)
    assert videos(tmp_path) == ["a.mp4", "b.mp4", "c.mp4"]
    assert not list(tmp_path.glob("held-*"))
    second.hold(line("e.mp4"))
    begun(tmp_path, fresh=True)
    assert videos(tmp_path) == [] and not list(tmp_path.glob("held-*"))


def test_another_setup_is_refused_unless_fresh(tmp_path):
    begun(tmp_path).commit([line("a.mp4")])
    with pytest.raises(RunJournalError, match="model 'demo/1', now 'demo/2'"):
        begun(tmp_path, {"model": "demo/2"})
    begun(tmp_path, {"model": "demo/2"}, fresh=True).commit([line("b.mp4")])
    assert videos(tmp_path) == ["b.mp4"]


def test_results_of_an_engine_that_crashed_are_kept(tmp_path):
    ours, theirs = ({**SETUP, "engine": f"openvino {each}"} for each in ("float32", "bfloat16"))
    begun(tmp_path, theirs).commit([line("a.mp4")])
    with pytest.raises(RunJournalError, match="bfloat16"):
        begun(tmp_path, ours)
    begun(tmp_path, ours, crashed_engines=["openvino bfloat16"]).commit([line("b.mp4")])
    assert videos(tmp_path) == ["a.mp4", "b.mp4"]


def test_a_truncated_shard_is_refused(tmp_path):
    begun(tmp_path).commit([line("a.mp4"), line("b.mp4")])
    (shard,) = (tmp_path / "shards").glob("*.jsonl")
    shard.write_text(line("a.mp4").text + "\n")
    with pytest.raises(ValueError, match="damaged"):
        videos(tmp_path)


def test_a_folder_of_either_kind_refuses_the_other(tmp_path):
    from avel_tf.inference.run_journal import RunJournal

    begun(tmp_path / "shards-here").commit([line("a.mp4")])
    plain = RunJournal(tmp_path / "shards-here", ["a.mp4"], setup=SETUP, model="demo/1")
    with pytest.raises(RunJournalError, match="--ray"):
        plain.__enter__()
    with RunJournal(tmp_path / "ledger-here", ["a.mp4"], setup=SETUP, model="demo/1"):
        pass
    with pytest.raises(RunJournalError, match="without --ray"):
        begun(tmp_path / "ledger-here")


def journal_of(folder, names, **options) -> ClusterJournal:
    settings = {"shard_bytes": 10**9, "commit_seconds": 1e9, "follow_links": False, **options}
    return ClusterJournal(begun(folder), names, model="demo/1", **settings)


def record(journal: ClusterJournal, index: int, name: str) -> None:
    journal.record(index, "ok", Result(name, "ok", model="demo/1").to_json())


def test_only_an_input_alone_with_two_dead_workers_is_quarantined(tmp_path):
    names = ["a.mp4", "b.mp4", "c.mp4"]
    journal = journal_of(tmp_path, names)
    assert journal.settle() == ([0, 1, 2], [])
    for index in range(3):
        journal.attempt(index, None, alone=False)
    record(journal, 0, "a.mp4")
    assert journal.settle() == ([], [1, 2])  # b and c were in the hands of the dead
    journal.attempt(1, None, alone=True)
    journal.attempt(2, None, alone=True)
    record(journal, 2, "c.mp4")
    assert journal.settle() == ([], [1])
    # The driver dies; the count of deaths is kept, and b remains a suspect.
    journal = journal_of(tmp_path, ["b.mp4"])
    assert journal.settle() == ([], [0])
    journal.attempt(0, None, alone=True)
    assert journal.settle() == ([], [])
    found = {result.video: result for result in read_all_results(tmp_path)}
    assert {name: each.status for name, each in found.items()} == {
        "a.mp4": "ok",
        "b.mp4": "quarantined",
        "c.mp4": "ok",
    }
    assert "the second time alone" in found["b.mp4"].reason


def test_a_second_result_of_an_input_is_dropped(tmp_path):
    journal = journal_of(tmp_path, ["a.mp4"])
    journal.attempt(0, None, alone=False)
    record(journal, 0, "a.mp4")
    record(journal, 0, "a.mp4")
    journal.commit()
    assert videos(tmp_path) == ["a.mp4"] and journal.progress()[1]["labelled again"] == 1


def test_passes_without_a_result_end_the_run(tmp_path):
    journal = journal_of(tmp_path, ["a.mp4"])
    with pytest.raises(RuntimeError, match="none of 1 inputs"):
        for _ in range(20):
            journal.settle()


def test_entries_of_a_newer_version_are_refused(tmp_path):
    begun(tmp_path)
    entry = tmp_path / "manifest" / "00000001.json"
    entry.write_text(json.dumps({"schema": 99}))
    with pytest.raises(ValueError, match="newer"):
        list(read_all_results(tmp_path))


def test_files_opened_again_are_told(capsys):
    from avel_tf.cli.infer import _print_counts

    counts = Counter(ok=200)
    for repetitions, told in (({"lost in hand": 3}, True), ({}, False)):
        _print_counts(ClusterSummary(200, counts, 0, [], {}, True, repetitions=repetitions))
        said = "3 files opened again after their worker had ended (1.5%)" in capsys.readouterr().out
        assert said is told
