"""avel infer --ray: the answers of one machine, each input once, from any list of inputs."""

from __future__ import annotations

import os

import pytest

from avel_tf.cli.main import main
from avel_tf.events.result_shards import read_all_results
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
