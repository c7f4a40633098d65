"""Batches of chosen segments alone, and their features back in place."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from avel_tf.features.features import Features
from avel_tf.inference.cascade import choose
from avel_tf.inference.chosen_segments import ChosenSegments
from avel_tf.inference.settings import ScreenSettings
from avel_tf.video.segment_loader import DecodeStatus, SegmentBatch

masks = st.lists(st.booleans(), min_size=1, max_size=45).map(np.array)


class FakeLoader:
    """Files of numbered segments, whose batches alternate.

    The outcome of a file is there before its last batches are read, as decoding threads are ahead.
    """

    failure = None

    def __init__(self, lengths: list[int]) -> None:
        self.lengths = lengths
        self.outcomes: dict[int, DecodeStatus] = {}
        self.ahead: set[int] = set()

    def batches(self, seconds: int) -> Generator[SegmentBatch, None, None]:
        for start in range(0, max(self.lengths), seconds):
            for file, length in enumerate(self.lengths):
                numbers = np.arange(start, min(start + seconds, length))
                if start < length <= start + 2 * seconds and file not in self.ahead:
                    self.ahead.add(file)
                    self.outcomes[file] = DecodeStatus(length)
                if len(numbers):
                    yield batch_of(file, numbers)


def batch_of(file: int, numbers: np.ndarray) -> SegmentBatch:
    """Segments whose frames and audio hold their number, every fifth of them not valid."""
    frames = numbers.astype(np.uint8).reshape(-1, 1, 1, 1, 1)
    return SegmentBatch(file, frames, numbers.astype(np.float32)[:, None], numbers % 5 != 4)


def numbers_in(batch: SegmentBatch) -> list[int]:
    assert batch.frames[:, 0, 0, 0, 0].tolist() == batch.waveform[:, 0].tolist()
    return batch.frames[:, 0, 0, 0, 0].tolist()


def end(source: ChosenSegments, file: int) -> int:
    """The file, all segments of which were read."""
    assert len(source.files[file].valid) == len(source.files[file].chosen)
    return file


@given(chosen=st.lists(masks, min_size=1, max_size=3), size=st.sampled_from([1, 2, 5, 10]))
def test_batches_hold_the_chosen_segments_and_features_return_to_their_place(chosen, size):
    chosen = [mask if mask.any() else ~mask for mask in chosen]
    source = ChosenSegments(FakeLoader([len(mask) for mask in chosen]), chosen)  # type: ignore[arg-type]
    sizes: dict[int, list[int]] = {}
    numbers: dict[int, list[int]] = {}
    columns: dict[int, list] = {}
    ended = []
    for batch in source.batches(size):
        sizes.setdefault(batch.file, []).append(len(batch.valid))
        numbers.setdefault(batch.file, []).extend(numbers_in(batch))
        features = Features(batch.waveform + 1, batch.waveform - 1, batch.valid)
        placed = list(source.files[batch.file].place(features))
        assert all(len(each[0]) <= 10 for each in placed)
        columns.setdefault(batch.file, []).extend(placed)
        ended += [end(source, file) for file, _ in source.ended()]
    ended += [end(source, file) for file, _ in source.ended(all_files=True)]
    assert sorted(ended) == list(range(len(chosen)))
    for file, mask in enumerate(chosen):
        seconds = np.arange(len(mask))
        assert numbers[file] == seconds[mask].tolist()
        assert all(each == size for each in sizes[file][:-1])
        visual, audio, valid, where = map(np.concatenate, zip(*columns[file], strict=True))
        np.testing.assert_array_equal(visual[:, 0], np.where(mask, seconds + 1, 0))
        np.testing.assert_array_equal(audio[:, 0], np.where(mask, seconds - 1, 0))
        np.testing.assert_array_equal(valid, mask & (seconds % 5 != 4))
        np.testing.assert_array_equal(where, mask)
        np.testing.assert_array_equal(source.files[file].valid, seconds % 5 != 4)


@given(lengths=st.lists(st.integers(1, 45), min_size=1, max_size=3), size=st.sampled_from([2, 10]))
def test_if_all_segments_are_chosen_the_batches_are_those_of_the_loader(lengths, size):
    source = ChosenSegments(FakeLoader(lengths), [np.ones(length, bool) for length in lengths])  # type: ignore[arg-type]
    found = [(batch.file, numbers_in(batch)) for batch in source.batches(size)]
    expected = [(batch.file, numbers_in(batch)) for batch in FakeLoader(lengths).batches(size)]
    assert found == expected


@given(length=st.integers(1, 30), now=st.integers(1, 40), size=st.sampled_from([1, 5]))
def test_a_file_of_another_length_ends_all_the_same(length, now, size):
    source = ChosenSegments(FakeLoader([now]), [np.ones(length, bool)])  # type: ignore[arg-type]
    for batch in source.batches(size):
        list(source.files[0].place(Features(batch.waveform, batch.waveform, batch.valid)))
    ((file, status),) = source.ended(all_files=True)
    assert (file, status.seconds) == (0, now)


@given(
    background=st.lists(st.floats(0, 1), min_size=1, max_size=40).map(np.array),
    margin=st.floats(0, 1),
    context=st.integers(0, 50),
)
def test_a_segment_is_chosen_if_a_doubtful_one_is_near(background, margin, context):
    chosen = choose(background, ScreenSettings(margin=margin, context_seconds=context))
    doubtful = [second for second, each in enumerate(background) if each <= margin]
    expected = [
        any(abs(second - other) <= context for other in doubtful)
        for second in range(len(background))
    ]
    assert chosen.tolist() == expected
    more = choose(background, ScreenSettings(margin=1.0, context_seconds=context))
    assert more.all()
