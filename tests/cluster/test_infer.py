"""avel infer --ray: the answers of one machine, each input once, from any list of inputs."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from avel_tf.cli.main import main
from avel_tf.events.result_shards import read_all_results
from tests.cluster.test_remote_files import s3  # noqa: F401
from tests.conftest import COMPACT_SETTINGS, as_set

pytest.importorskip("ray")

ENGINE = as_set(COMPACT_SETTINGS[-2:])


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
