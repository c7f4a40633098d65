"""The training of the audio backbone: its data, its schedule, and going on after a stop."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.distill import audio


@pytest.fixture
def shards(tmp_path):
    rng = np.random.default_rng(0)
    for number, count in enumerate((5, 3, 7)):
        folder = tmp_path / f"shard-{number:03d}"
        folder.mkdir()
        first = sum((5, 3, 7)[:number])
        label = np.arange(first, first + count, dtype=np.int16)
        np.save(folder / "label.npy", label)
        np.save(folder / "log_mel.npy", np.tile(label[:, None, None], (1, 100, 64)) / 16.0)
        np.save(folder / "embedding.npy", rng.random((count, 12)).astype(np.float16))
        np.save(folder / "scores.npy", np.tile(label[:, None], (1, 4)) / 16.0)
    return tmp_path


def test_a_batch_keeps_what_belongs_together(shards):
    seconds = audio.Seconds(shards, audio.Student.ARRAYS)
    assert len(seconds) == 15
    log_mel, embedding, scores, label = seconds.batch(np.array([14, 0, 5, 4, 7, 8]))
    assert sorted(label) == [0, 4, 5, 7, 8, 14] and embedding.shape == (6, 12)
    np.testing.assert_allclose(log_mel[:, 50, 30], label / 16.0)
    np.testing.assert_allclose(scores[:, 2], label / 16.0)


def test_no_shards_is_said_in_a_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match="audio_corpus.py"):
        audio.Seconds(tmp_path, audio.Student.ARRAYS)


def test_disturbing_changes_a_little_and_only_what_it_may():
    rng = np.random.default_rng(0)
    clean = rng.uniform(-0.5, 0.5, (64, 100, 64)).astype(np.float32)
    kept = clean.copy()
    disturbed = audio.disturb(np.random.default_rng(1), clean)
    np.testing.assert_array_equal(clean, kept)
    assert disturbed.shape == clean.shape and np.isfinite(disturbed).all()
    assert not np.allclose(disturbed, clean)
    masked = disturbed.min(axis=(1, 2)) + 2 * audio.LOUDER + 1e-6
    share = np.mean(disturbed <= masked[:, None, None], axis=(1, 2))
    assert 0.02 < share.mean() < 0.25 and share.max() < 0.35
    assert disturbed.tobytes() == audio.disturb(np.random.default_rng(1), clean).tobytes()


def test_the_learning_rate_rises_then_falls_to_nothing():
    rates = [audio.learning_rate(step, step / 5000) for step in range(5001)]
    top = int(np.argmax(rates))
    assert rates[top] == pytest.approx(audio.PEAK_LEARNING_RATE, rel=0.05)
    assert np.all(np.diff(rates[: audio.WARM_UP_STEPS]) > 0)
    assert np.all(np.diff(rates[top + 1 :]) < 0) and rates[-1] == pytest.approx(0, abs=1e-12)


def batch(seed: int) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, (8, 100, 64, 1)).astype(np.float32), (
        rng.random((8, 12)).astype(np.float32),
        rng.random((8, 4)).astype(np.float32),
        rng.integers(-1, 3, 8).astype(np.int32),
    )


@pytest.mark.slow
def test_training_learns_resumes_and_exports_the_average(tmp_path):
    from avel_tf.embeddings.compact import audio_network

    mean, deviation = np.full(12, 0.5, np.float32), np.full(12, 0.3, np.float32)
    student = audio.Student(mean, deviation, scores=4, classes=3)
    student.optimizer.learning_rate.assign(1e-3)
    average = np.float32(0.9)
    losses = [student.step(*batch(0), average).numpy() for _ in range(8)]
    assert losses[-1][0] < losses[0][0] and losses[-1][3] < losses[0][3]

    audio.write_arrays(tmp_path / "checkpoint.npz", student.state())
    student.step(*batch(1), average)
    gone_on = student.state()
    student.step(*batch(2), average)
    with np.load(tmp_path / "checkpoint.npz") as state:
        student.restore(dict(state))
    student.step(*batch(1), average)
    for name, value in student.state().items():
        np.testing.assert_allclose(gone_on[name], value, atol=1e-6, err_msg=name)

    audio.export(student, tmp_path)
    network = audio_network()
    with np.load(tmp_path / "weights.npz") as weights:
        assert all(each.dtype == np.float16 for each in weights.values())
        network.set_weights([weights[name] for name in sorted(weights.files)])
    pairs = zip(student.model.weights, student.averages, strict=True)
    averages = {weight.path: average.numpy() for weight, average in pairs}
    for weight in network.weights:
        np.testing.assert_allclose(weight.numpy(), averages[weight.path], atol=2e-3, rtol=1e-3)
