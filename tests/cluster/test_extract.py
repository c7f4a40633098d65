"""avel extract --ray: the store of one machine, also when a worker dies."""

from __future__ import annotations

import pytest

from avel_tf.cli.main import main
from avel_tf.features.feature_store import FeatureStore
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
