"""Properties of all losses, and each against another library."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from scipy.special import expit, log_softmax, logsumexp, softmax
from sklearn.metrics import log_loss

from avel_tf.models.losses.clip_losses import ClipCrossEntropy, MultipleInstanceCrossEntropy
from avel_tf.models.losses.contrast_loss import ContrastLoss
from avel_tf.models.losses.segment_losses import EventCrossEntropy, SegmentCrossEntropy
from avel_tf.models.losses.similarity_loss import SimilarityLoss
from tests.models.losses.clips import (
    CLASSES,
    DISTRIBUTIONS,
    EVENT,
    LOGITS,
    RNG,
    TARGETS,
    VALID,
    WEIGHTS,
)

VIEWS = RNG.normal(size=(5, 4, 2, 6)).astype("float32")
VIEWS /= np.linalg.norm(VIEWS, axis=-1, keepdims=True)
CASES = {
    "segment": (SegmentCrossEntropy(0.1), LOGITS),
    "weak": (MultipleInstanceCrossEntropy(CLASSES, 0.1), LOGITS),
    "event": (EventCrossEntropy(CLASSES), LOGITS[..., :1]),
    "clip": (ClipCrossEntropy(CLASSES), LOGITS[:, 0, :-1]),
    "similarity": (SimilarityLoss(CLASSES), np.tanh(LOGITS[..., 0])),
    "contrast": (ContrastLoss(CLASSES, 0.5), VIEWS),
}
every_loss = pytest.mark.parametrize(("loss", "outputs"), CASES.values(), ids=CASES)


@every_loss
def test_indices_and_distributions_cost_the_same(loss: keras.Loss, outputs: np.ndarray) -> None:
    found = float(loss(TARGETS, outputs, WEIGHTS))
    assert np.isfinite(found) and found > 0
    assert float(loss(DISTRIBUTIONS, outputs, WEIGHTS)) == pytest.approx(found, rel=1e-5)


@every_loss
def test_invalid_seconds_cost_nothing(loss: keras.Loss, outputs: np.ndarray) -> None:
    expected = float(loss(TARGETS, outputs, WEIGHTS))
    junk = np.where(VALID, TARGETS, 0)
    if outputs.shape[:2] == VALID.shape:
        hidden = VALID.reshape(*VALID.shape, *[1] * (outputs.ndim - 2))
        outputs = np.where(hidden, outputs, -outputs)
    assert float(loss(junk, outputs, WEIGHTS)) == pytest.approx(expected, rel=1e-5)
    assert float(loss(TARGETS, outputs, 0 * WEIGHTS)) == 0.0


@every_loss
def test_config_round_trip(loss: keras.Loss, outputs: np.ndarray) -> None:
    twin = keras.losses.deserialize(keras.losses.serialize(loss))
    assert twin.get_config() == loss.get_config()
    assert float(twin(TARGETS, outputs, WEIGHTS)) == float(loss(TARGETS, outputs, WEIGHTS))


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"distributions \[B, T, 4\]. Received: shape=\(5, 4, 3\)"):
        SegmentCrossEntropy()(DISTRIBUTIONS[..., :3], LOGITS, WEIGHTS)


def test_mixed_targets_agree_with_keras() -> None:
    mixed = 0.3 * DISTRIBUTIONS + 0.7 * DISTRIBUTIONS[::-1]
    reference = keras.losses.CategoricalCrossentropy(from_logits=True)
    found = float(SegmentCrossEntropy()(mixed, LOGITS, WEIGHTS))
    assert found == pytest.approx(float(reference(mixed[VALID], LOGITS[VALID])), rel=1e-5)


def test_event_agrees_with_scikit_learn() -> None:
    logits = LOGITS[..., :1]
    expected = log_loss(EVENT[VALID], expit(logits[..., 0][VALID].astype(float)))
    found = float(EventCrossEntropy(CLASSES)(TARGETS, logits, WEIGHTS))
    assert found == pytest.approx(expected, rel=1e-5)


def test_clip_loss_of_one_event_agrees_with_scikit_learn() -> None:
    logits = LOGITS[:, 0, :-1]
    found = float(
        ClipCrossEntropy(CLASSES)(TARGETS[[0, 2, 3]], logits[[0, 2, 3]], WEIGHTS[[0, 2, 3]])
    )
    expected = log_loss([0, 2], softmax(logits[[0, 3]].astype(float), axis=-1), labels=[0, 1, 2])
    assert found == pytest.approx(expected, rel=1e-5)


def test_weak_pools_the_seconds() -> None:
    """Clip by clip with numpy: events share the target, the clip without one is background."""
    seconds = log_softmax(LOGITS.astype(float), axis=-1)
    wanted = np.array([[1, 0, 0, 0], [0, 0.5, 0.5, 0], [0, 0, 0, 1], [0, 0, 1, 0]])
    costs = []
    for clip in range(4):
        valid = seconds[clip][VALID[clip]]
        costs.append(-wanted[clip] @ (logsumexp(valid, axis=0) - np.log(len(valid))))
    found = float(MultipleInstanceCrossEntropy(CLASSES)(TARGETS, LOGITS, WEIGHTS))
    assert found == pytest.approx(np.mean(costs), rel=1e-5)


@pytest.mark.parametrize("kind", ["weak", "clip"])
def test_weak_supervision_has_no_losses_that_need_times(kind: str) -> None:
    """Other seconds and another number of them, the same events: the same loss."""
    loss, outputs = CASES[kind]
    moved = np.array([[0, 3, 3, 3], [2, 1, 3, 3], [3, 3, 3, 3], [3, 2, 3, 3], [-1, -1, -1, -1]])
    expected = float(loss(TARGETS, outputs, WEIGHTS))
    assert float(loss(moved, outputs, WEIGHTS)) == pytest.approx(expected, rel=1e-6)


def test_similarity_is_that_of_the_paper_for_ten_seconds() -> None:
    """100 times the mean squared error of the shares; the clip without an event has none."""
    targets = np.full((3, 10), CLASSES)
    targets[0, 2:7], targets[1, :1] = 1, 2
    cosines = np.random.default_rng(3).uniform(-1, 1, (3, 10)).astype("float32")
    positive = np.maximum(cosines, 0)
    shares = positive / positive.sum(1, keepdims=True)
    wanted = np.zeros((2, 10))
    wanted[0, 2:7], wanted[1, 0] = 1 / 5, 1
    expected = 100 * np.mean((shares[:2] - wanted) ** 2)
    found = float(SimilarityLoss(CLASSES)(targets, cosines, np.ones((3, 10), "float32")))
    assert found == pytest.approx(expected, rel=1e-5)


def test_contrast_agrees_with_plain_loops() -> None:
    costs = []
    for clip in range(4):
        seconds = np.flatnonzero(VALID[clip])
        anchors = [(second, view) for view in (0, 1) for second in seconds]
        for anchor in anchors:
            wanted, others = [], []
            for other in anchors:
                if other == anchor:
                    continue
                alike = np.exp(VIEWS[clip][anchor] @ VIEWS[clip][other] / 0.5)
                others.append(alike)
                both_events = EVENT[clip, anchor[0]] and EVENT[clip, other[0]]
                if both_events or other[0] == anchor[0]:
                    wanted.append(alike)
            costs.append(-np.log(np.mean(wanted) / np.sum(others)))
    found = float(ContrastLoss(CLASSES, 0.5)(TARGETS, VIEWS, WEIGHTS))
    assert found == pytest.approx(np.mean(costs), rel=1e-5)


def test_contrast_stays_finite_at_the_published_temperature() -> None:
    same = np.ones((5, 4, 2, 6), "float32") / 6**0.5
    for views in (same, VIEWS, -VIEWS):
        assert np.isfinite(float(ContrastLoss(CLASSES)(TARGETS, views, WEIGHTS)))
