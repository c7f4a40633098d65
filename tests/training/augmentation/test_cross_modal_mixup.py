"""Pictures of one clip with the sound of another: an event is what is both heard and seen."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from avel_tf.training.augmentation.cross_modal_mixup import cross_modal_mixup
from tests.training.augmentation.batches import BACKGROUND, key, partners, random_batch


@settings(max_examples=10)
@given(seed=st.integers(0, 2**31), share=st.sampled_from([0.3, 1.0]))
def test_an_event_is_left_where_both_windows_have_it(seed, share):
    batch = random_batch(windows=12, seed=seed)
    mixed = cross_modal_mixup(batch, key(seed), share=share)
    was = batch.targets.numpy().argmax(-1)
    heard = partners(batch.audio.numpy(), mixed.audio.numpy())
    np.testing.assert_array_equal(mixed.audio, batch.audio.numpy()[heard])
    np.testing.assert_array_equal(mixed.visual, batch.visual)
    expected = np.where(was == was[heard], was, BACKGROUND)
    np.testing.assert_array_equal(mixed.targets.numpy().argmax(-1), expected)
    np.testing.assert_array_equal(np.sort(mixed.targets, axis=-1)[..., :-1], 0)
    assert (mixed.targets.numpy().max(-1) == 1).all()


def test_the_share_is_kept():
    batch = random_batch(windows=2000)
    mixed = cross_modal_mixup(batch, key(), share=0.2)
    changed = (mixed.audio.numpy() != batch.audio.numpy()).any((1, 2))
    assert 0.16 < changed.mean() < 0.24


def test_a_second_is_there_where_it_is_seen_and_heard():
    batch = random_batch(windows=30, full=False)
    valid = cross_modal_mixup(batch, key(), share=1.0)
    assert np.isfinite(valid.audio.numpy()[valid.valid.numpy()]).all()
    assert np.isfinite(valid.visual.numpy()[valid.valid.numpy()]).all()
    assert not (valid.valid.numpy() & ~batch.valid.numpy()).any()


def test_clips_of_one_class_keep_their_audio_without_times():
    batch = random_batch(windows=60)
    held = np.arange(60) % 4  # class 0, 1, 2 or background
    batch = batch._replace(targets=tf.repeat(tf.one_hot(held, 4)[:, None], 5, axis=1))
    mixed = cross_modal_mixup(batch, key(), share=1.0, clip_labels=True)
    heard = partners(batch.audio.numpy(), mixed.audio.numpy())
    own = heard == np.arange(60)
    assert 5 < own.sum() < 30
    assert ((held != held[heard]) | own | (held == BACKGROUND)).all()
    expected = np.where(own, held, BACKGROUND)
    np.testing.assert_array_equal(mixed.targets.numpy().argmax(-1), expected[:, None] + [0] * 5)
