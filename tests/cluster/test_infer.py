"""avel infer --ray: the answers of one machine, each input once, from any list of inputs."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from types import SimpleNamespace

import pytest

from avel_tf.cli.main import main
from avel_tf.cluster import infer
from avel_tf.cluster.inputs import find_cluster_inputs
from avel_tf.cluster.ray_session import Workers
from avel_tf.events.result_shards import read_all_results
from tests.cluster.fake_run import fake_run
from tests.cluster.test_remote_files import s3  # noqa: F401
from tests.conftest import EXACT_ENGINE, as_set

ray = pytest.importorskip("ray")

ENGINE = as_set(EXACT_ENGINE)


def test_each_input_is_labelled_once_by_a_worker(tmp_path, monkeypatch):
    """A run with its journal and a worker in this process: calls of actors are made at once."""

    class Actor:
        def __init__(self, of: object) -> None:
            self.of = of

        def __getattr__(self, name: str) -> SimpleNamespace:
            return SimpleNamespace(remote=getattr(self.of, name))

    def remote(kind: type) -> SimpleNamespace:
        made = SimpleNamespace(remote=lambda *given, **named: Actor(kind(*given, **named)))
        return SimpleNamespace(options=lambda **_: made)

    monkeypatch.setattr(ray, "get", lambda value: value)
    monkeypatch.setattr(ray, "put", lambda value: value)
    monkeypatch.setattr(ray, "remote", remote)
    node = SimpleNamespace(get_node_id=lambda: "0" * 56)
    monkeypatch.setattr(ray, "get_runtime_context", lambda: node)
    monkeypatch.setattr(infer, "ray_session", lambda _: contextlib.nullcontext(ray))
    monkeypatch.setattr(infer, "workers_of", lambda *_: Workers(1, 1, 0))
    monkeypatch.setattr(
        infer, "map_blocks", lambda _, kind, work, blocks, workers: map(kind(work), blocks)
    )
    videos, log = tmp_path / "videos", tmp_path / "log"
    videos.mkdir()
    for number in range(20):
        content = b"broken" if number == 7 else b"film %d" % number
        (videos / f"{number:02d}.mp4").write_bytes(content)
    run = fake_run(log, 0, ["cluster.block_files=8"])
    for resumed in (0, 19):
        summary = run(find_cluster_inputs([str(videos)]), tmp_path / "out", address="local")
        assert summary.complete and summary.counts == {"ok": 19, "quarantined": 1}
        assert summary.resumed == resumed
        found = {os.path.basename(each.video): each for each in read_all_results(tmp_path / "out")}
        assert sorted(found) == sorted(path.name for path in videos.iterdir())
        assert found["07.mp4"].reason == "it is broken" and found["08.mp4"].status == "ok"
        (videos / "03.mp4").write_bytes(b"another film")
    assert log.read_text().count("03.mp4") == 2 and len(log.read_text().splitlines()) == 21


@pytest.mark.slow
def test_ray_gives_the_results_of_one_machine(clips, exported, tmp_path, capsys):
    """Files, folders and a list; results as without Ray; a second run has nothing to do."""
    folder = tmp_path / "videos"
    folder.mkdir()
    for number, clip in enumerate(sorted(clips.rglob("*.mp4"))[:5]):
        (folder / f"{number}.mp4").write_bytes(clip.read_bytes())
    (folder / os.fsdecode(b"odd\xff\n.mp4")).write_bytes(b"no video")
    listed = sorted(clips.rglob("*.mp4"))[5:7]
    manifest = tmp_path / "list.txt"
    manifest.write_text("".join(f"{path}\n" for path in listed))
    words = ["infer", str(folder), "--manifest", str(manifest), "--model", str(exported), *ENGINE]
    assert main([*words, "--out", str(tmp_path / "plain")]) == 2
    out = tmp_path / "cluster"
    assert main([*words, "--out", str(out), "--ray", "local", "--formats", "csv,html"]) == 2
    assert "8 files: 7 ok, 0 partial, 1 quarantined" in capsys.readouterr().out
    plain = {each.video: each for each in read_all_results(tmp_path / "plain")}
    found = list(read_all_results(out))
    assert len(found) == 8 and {each.video: each for each in found} == plain
    assert (out / "results.csv").is_file() and (out / "index.html").is_file()
    assert main(["convert", str(out), "--to", "dcase", "--out", str(tmp_path / "dcase")]) == 0
    # Nothing is left to do: no cluster is started.
    assert main([*words, "--out", str(out), "--ray", "nowhere:1"]) == 2
    assert "(8 of them done before)" in capsys.readouterr().out


@pytest.mark.slow
def test_from_a_bucket_to_a_bucket(clips, exported, s3, tmp_path, capsys):  # noqa: F811
    """Objects are labelled as the files they are copies of; a missing one is tried again."""
    import s3fs

    system = s3fs.S3FileSystem()
    files = sorted(clips.rglob("*.mp4"))[:3]
    for number, path in enumerate(files):
        system.pipe_file(f"clips/real/{number}.mp4", path.read_bytes())
    words = ["infer", "--model", str(exported), *ENGINE]
    assert main([*words, *map(str, files), "--out", str(tmp_path / "plain")]) == 0
    remote = [*words, f"{s3}/real", f"{s3}/late.mp4", "--out", f"{s3}/labels", "--ray", "local"]
    remote += ["--set", "cluster.download_attempts=1"]
    assert main(remote) == 2
    assert "4 files: 3 ok, 0 partial, 1 quarantined" in capsys.readouterr().out
    found = {each.video: each for each in read_all_results(f"{s3}/labels")}
    assert "no such object" in found.pop(f"{s3}/late.mp4").reason
    for number, plain in enumerate(read_all_results(tmp_path / "plain")):
        name = f"{s3}/real/{number}.mp4"
        assert found.pop(name) == replace(plain, video=name)
    assert not found
    system.pipe_file("clips/late.mp4", files[0].read_bytes())
    assert main(remote) == 0
    assert "4 files: 4 ok" in capsys.readouterr().out
    assert main(["convert", f"{s3}/labels", "--to", "csv", "--out", str(tmp_path / "csv")]) == 0
    assert len(list(read_all_results(f"{s3}/labels"))) == 4
