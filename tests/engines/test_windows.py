"""Long media in windows: every second once, whatever the batch."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avel_tf.engines.windows import WindowLabeller, predict_in_windows

Clips = list[tuple[np.ndarray, np.ndarray, np.ndarray]]
CLASSES = 4


def clip(seconds: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return (
        rng.normal(size=(seconds, 3)).astype("float32"),
        rng.normal(size=(seconds, 2)).astype("float32"),
        np.ones(seconds, bool),
    )


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return (powers / powers.sum(-1, keepdims=True)).astype("float32")


class Recorder:
    """A model whose answer depends on all seconds of its window, and on nothing else."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, int]] = []

    def __call__(self, visual, audio, valid):
        self.shapes.append(valid.shape)
        assert visual.shape == (*valid.shape, 3) and audio.shape == (*valid.shape, 2)
        both = np.concatenate([visual, audio[..., :1]], -1)  # [B, T, 4]
        return softmax(both + both.mean(1, keepdims=True))


LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=5)


@settings(max_examples=60, deadline=None)
@given(LENGTHS, st.integers(1, 12), st.data())
def test_every_second_gets_one_distribution(lengths, window, data):
    hop = data.draw(st.integers(1, window))
    model = Recorder()
    clips = [clip(seconds, seed) for seed, seconds in enumerate(lengths)]
    results = predict_in_windows(model, clips, window_seconds=window, hop_seconds=hop, batch_size=4)
    assert [len(each) for each in results] == lengths
    for each in results:
        assert each.shape[1] == CLASSES and each.dtype == np.float32
        np.testing.assert_allclose(each.sum(-1), 1.0, atol=1e-5)
    assert all(rows == 4 and seconds <= window for rows, seconds in model.shapes)


@settings(max_examples=30, deadline=None)
@given(LENGTHS, st.integers(1, 12), st.integers(1, 7))
def test_batches_and_neighbours_do_not_matter(lengths, window, batch_size):
    clips = [clip(seconds, seed) for seed, seconds in enumerate(lengths)]
    options = {"window_seconds": window, "hop_seconds": max(1, window // 2)}
    together = predict_in_windows(Recorder(), clips, batch_size=batch_size, **options)
    for one, result in zip(clips, together, strict=True):
        (alone,) = predict_in_windows(Recorder(), [one], **options)
        np.testing.assert_array_equal(alone, result)


@given(st.integers(1, 10))
def test_a_single_window_is_what_the_model_said(seconds):
    one = clip(seconds)
    (result,) = predict_in_windows(Recorder(), [one], window_seconds=10, hop_seconds=5)
    np.testing.assert_array_equal(result, Recorder()(*(column[None] for column in one))[0])


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(1, 12),
    st.lists(st.floats(0.0, 1.0), min_size=CLASSES, max_size=CLASSES).filter(lambda p: sum(p) > 0),
)
def test_what_all_windows_agree_on_stays(seconds, window, shares):
    constant = np.array(shares) / sum(shares)
    (result,) = predict_in_windows(
        lambda visual, audio, valid: np.broadcast_to(constant, (*valid.shape, CLASSES)),
        [clip(seconds)],
        window_seconds=window,
        hop_seconds=max(1, window // 2),
    )
    np.testing.assert_allclose(result, np.broadcast_to(constant, result.shape), atol=1e-5)


def test_the_middle_of_a_window_is_trusted_more_than_its_ends():
    """Two windows of four seconds that contradict each other, two seconds apart."""

    def stubborn(visual, audio, valid):
        says = np.where(np.arange(len(valid))[:, None, None] == 0, [[0.9, 0.1]], [[0.1, 0.9]])
        return np.broadcast_to(says, (*valid.shape, 2))

    (result,) = predict_in_windows(stubborn, [clip(6)], window_seconds=4, hop_seconds=2)
    first = result[:, 0]
    np.testing.assert_allclose(first[:2], 0.9, atol=1e-5)  # seen by the first window alone
    np.testing.assert_allclose(first[4:], 0.1, atol=1e-5)
    # Weights 2/5, 4/5, 4/5, 2/5: in second 2 the first window weighs twice the other.
    log_odds = np.log(0.9 / 0.1) * np.array([1 / 3, -1 / 3])
    np.testing.assert_allclose(first[2:4], 1 / (1 + np.exp(-log_odds)), atol=1e-5)


def test_the_last_window_ends_with_the_clip():
    """It overlaps more, but no window is short: the model was not trained on stumps."""
    model = Recorder()
    predict_in_windows(model, [clip(23)], window_seconds=10, hop_seconds=5, batch_size=1)
    assert model.shapes == [(1, 10)] * 4  # from 0, 5, 10 and 13


def test_certain_windows_that_contradict_each_other_stay_finite():
    def certain(visual, audio, valid):
        return np.eye(2)[np.arange(len(valid)) % 2][:, None].repeat(valid.shape[1], 1)

    (result,) = predict_in_windows(certain, [clip(8)], window_seconds=4, hop_seconds=2)
    assert np.isfinite(result).all()


def test_no_clips_give_no_results():
    assert predict_in_windows(Recorder(), [], window_seconds=10, hop_seconds=5) == []


def test_a_clip_without_a_second():
    with pytest.raises(ValueError, match="at least one segment"):
        predict_in_windows(Recorder(), [clip(0)], window_seconds=10, hop_seconds=5)


@settings(max_examples=60, deadline=None)
@given(LENGTHS, st.integers(1, 12), st.data())
def test_seconds_that_come_a_few_at_a_time_give_the_same(lengths, window, data):
    """Clips in turns, in pieces of any size, and what is done is handed out meanwhile."""
    hop = data.draw(st.integers(1, window))
    options = {"window_seconds": window, "hop_seconds": hop, "batch_size": 4}
    clips = [clip(seconds, seed) for seed, seconds in enumerate(lengths)]
    expected = predict_in_windows(Recorder(), clips, **options)
    labeller = WindowLabeller(Recorder(), **options)
    given_so_far = [0] * len(clips)
    found = {}
    while open_clips := [n for n, seconds in enumerate(lengths) if given_so_far[n] < seconds]:
        number = data.draw(st.sampled_from(open_clips))
        count = data.draw(st.integers(1, lengths[number] - given_so_far[number]))
        part = slice(given_so_far[number], given_so_far[number] + count)
        labeller.add(number, *(column[part] for column in clips[number]))
        given_so_far[number] += count
        if given_so_far[number] == lengths[number]:
            found[number] = labeller.end(number)
    for number, result in enumerate(expected):
        np.testing.assert_array_equal(found[number], result)


def test_a_batch_holds_windows_of_one_clip():
    """So the last bits of a result do not depend on the clips beside it."""
    seen = []

    def spy(visual, audio, valid):
        seen.append(set(audio[..., 0].ravel().tolist()))
        return np.full((*valid.shape, CLASSES), 1 / CLASSES, "float32")

    labeller = WindowLabeller(spy, window_seconds=4, hop_seconds=2, batch_size=3)
    for _ in range(6):
        for number in range(3):
            part = np.full((3, 2), float(number), "float32")
            labeller.add(number, part, part, np.ones(3, bool))
    for number in range(3):
        assert len(labeller.end(number)) == 18
    assert len(seen) == 9 and all(len(numbers) == 1 for numbers in seen)


def test_memory_holds_a_window_or_two_of_a_clip_of_any_length():
    labeller = WindowLabeller(Recorder(), window_seconds=10, hop_seconds=5, batch_size=4)
    visual, audio, valid = clip(40)
    tracemalloc.start()
    for _ in range(250):
        labeller.add(0, visual, audio, valid)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    probabilities = 2 * 10_000 * CLASSES * 8  # every second in two windows
    assert kept < probabilities + 2_000_000
