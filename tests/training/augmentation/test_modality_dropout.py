"""A window may lose one sense, never both."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avel_tf.training.augmentation.modality_dropout import modality_dropout
from tests.training.augmentation.batches import key, random_batch

MEANS = {
    "visual_mean": np.arange(4, dtype="float32") + 10,
    "audio_mean": np.arange(2, dtype="float32") - 10,
}


@settings(max_examples=10)
@given(seed=st.integers(0, 2**40), share=st.floats(0, 1, width=32))
def test_never_both(seed, share):
    batch = random_batch(windows=50)
    changed = modality_dropout(batch, key(seed), share=share, **MEANS)
    blind, deaf = (
        (getattr(changed, name).numpy() == MEANS[f"{name}_mean"]).all((1, 2))
        for name in ("visual", "audio")
    )
    assert not (blind & deaf).any()
    np.testing.assert_array_equal(changed.visual.numpy()[~blind], batch.visual.numpy()[~blind])
    np.testing.assert_array_equal(changed.audio.numpy()[~deaf], batch.audio.numpy()[~deaf])
    assert changed.targets is batch.targets and changed.valid is batch.valid
    if share == 1:
        assert (blind | deaf).all()


@pytest.mark.parametrize("share", [0.1, 0.6])
def test_both_senses_are_lost_alike(share):
    batch = random_batch(windows=4000, seconds=1)
    changed = modality_dropout(batch, key(), share=share, **MEANS)
    for name in ("visual", "audio"):
        lost = (getattr(changed, name).numpy() != getattr(batch, name).numpy()).any((1, 2))
        assert lost.mean() == pytest.approx(share / 2, abs=0.03)
