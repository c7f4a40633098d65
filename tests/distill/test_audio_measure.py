"""The probes that the audio backbone is measured by."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.distill import audio_measure as measure

CLIPS, CLASSES, WIDTH = 60, 3, 8


@pytest.fixture(scope="module")
def labels():
    return np.repeat(["bell", "dog", "rain"], CLIPS // CLASSES)


def vectors_of(labels: np.ndarray, clip_of: np.ndarray, noise: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    centres = {name: rng.normal(size=WIDTH) for name in np.unique(labels)}
    clean = np.stack([centres[labels[clip]] for clip in clip_of])
    return clean + noise * rng.normal(size=clean.shape)


def test_means_of_clips_of_any_length():
    clip_of = np.array([0, 0, 1, 2, 2, 2])
    vectors = np.arange(12.0).reshape(6, 2)
    expected = [vectors[clip_of == clip].mean(axis=0) for clip in range(3)]
    np.testing.assert_allclose(measure.clip_means(vectors, clip_of), expected)


def test_probes_find_what_is_there_and_nothing_else(labels):
    clip_of = np.repeat(np.arange(CLIPS), 2)
    clear = vectors_of(labels, clip_of, noise=0.1)
    means = measure.clip_means(clear, clip_of)
    strengths = [0.01] * measure.FOLDS
    assert measure.probe_clips(means, labels, strengths) == 1.0
    assert measure.probe_seconds(clear, clip_of, labels, strengths) == 1.0
    assert measure.nearest(means, labels) == 1.0
    blind = np.random.default_rng(1).normal(size=(CLIPS, WIDTH))
    for figure in (measure.probe_clips(blind, labels, strengths), measure.nearest(blind, labels)):
        assert 0.1 < figure < 0.6


def test_the_strength_is_chosen_without_the_test_clips(labels):
    """Spoiling the test clips of a fold leaves the choice of that fold as it was."""
    clip_of = np.arange(CLIPS)
    means = vectors_of(labels, clip_of, noise=2.0)
    chosen = measure.strengths_of_folds(means, labels)
    _, test = next(iter(measure.probe_folds(labels)))
    spoiled = means.copy()
    spoiled[test] = 1e3
    assert measure.strengths_of_folds(spoiled, labels)[0] == chosen[0]
    assert set(chosen) <= set(measure.STRENGTHS)


def test_the_way_is_counted_from_the_untrained_network():
    rows = {
        name: dict.fromkeys(("probe_clip", "probe_second", "nearest"), value)
        for name, value in (
            (measure.UNTRAINED, 0.5),
            (measure.STUDENT, 0.8),
            (measure.TEACHER, 0.9),
        )
    }
    assert measure.way(rows)["nearest"] == pytest.approx(0.75)


def test_neighbours_do_not_meet_across_folds(labels):
    """Pieces of one recording lie side by side; a shuffled split would test on what it learned."""
    pieces = np.arange(CLIPS) // 4  # four clips of each recording
    for train, test in measure.probe_folds(labels):
        assert set(pieces[train]).isdisjoint(pieces[test])


def test_agreement_is_one_for_the_teachers_own_answers(tmp_path):
    rng = np.random.default_rng(0)
    student = rng.normal(size=(20, 6))
    kernel, scorer = rng.normal(size=(6, 9)), rng.normal(size=(6, 4))
    np.savez(
        tmp_path / "heads.npz",
        **{
            "mean": np.full(9, 0.2),
            "deviation": np.full(9, 2.0),
            "embedding.kernel": kernel,
            "embedding.bias": np.zeros(9),
            "scores.kernel": scorer,
            "scores.bias": np.zeros(4),
        },
    )
    answers = [student @ kernel * 2.0 + 0.2, 1 / (1 + np.exp(-student @ scorer))]
    found = measure.agreement(student, tmp_path / "heads.npz", answers)
    assert found == pytest.approx({"cosine": 1.0, "cosine_centred": 1.0, "top1": 1.0})
    backwards = [each[::-1] for each in answers]
    found = measure.agreement(student, tmp_path / "heads.npz", backwards)
    assert found["cosine_centred"] < 0.5 and found["top1"] < 0.9
