"""avel extract --ray: the store of one machine, also when a worker dies."""

from __future__ import annotations

from pathlib import Path

import pytest

from avel_tf.cli.main import main
from avel_tf.cluster import extract
from avel_tf.cluster.ray_session import ClusterError
from avel_tf.features.extract import TWICE
from avel_tf.features.feature_store import FeatureStore
from avel_tf.video.segment_loader import DecodeStatus
from tests.conftest import COMPACT_SETTINGS, as_set

pytest.importorskip("ray")


@pytest.mark.slow
def test_ray_extracts_the_store_of_one_machine(clips, store, tmp_path, capsys):
    out = tmp_path / "features"
    words = ["extract", str(clips), "--out", str(out), "--ray", "local"]
    assert main([*words, *as_set(COMPACT_SETTINGS)]) == 0
    assert FeatureStore(out).digests == store.digests
    assert not list(tmp_path.glob(".features*"))


def test_random_masks_are_refused(clips, tmp_path, capsys):
    words = ["extract", str(clips), "--out", str(tmp_path / "features"), "--ray", "local"]
    assert main([*words, *as_set([*COMPACT_SETTINGS, "data.spec_augment_copies=1"])]) == 1
    assert "needs one process" in capsys.readouterr().err


def kept_by(monkeypatch, groups: dict[str, list[str]], poison: str) -> dict:
    """Groups that are kept when a worker dies with each video whose name has a certain letter."""

    def embedded(ray, work, groups):
        for name, paths in groups.items():
            if not any(poison in path.name for path in paths):
                yield name, [(None, DecodeStatus(1)) for _ in paths]

    kept: dict = {}
    monkeypatch.setattr(extract, "_embedded", embedded)
    paths = {name: [Path(video) for video in videos] for name, videos in groups.items()}
    extract._embed_groups(None, None, paths, kept.__setitem__)
    return {name: [status.error for _, status in group] for name, group in kept.items()}


@pytest.mark.parametrize("groups", [{"a": ["x"], "b": ["c", "x", "d"]}, {"a": ["x"], "b": ["c"]}])
def test_a_video_that_crashes_workers_is_skipped(monkeypatch, groups):
    found = kept_by(monkeypatch, groups, "x")
    assert found == {
        name: [TWICE if video == "x" else None for video in videos]
        for name, videos in groups.items()
    }


def test_workers_that_embed_nothing_end_the_run(monkeypatch):
    with pytest.raises(ClusterError, match="none of 3 videos"):
        kept_by(monkeypatch, {"a": ["x1"], "b": ["x2", "x3", "x4"]}, "x")
