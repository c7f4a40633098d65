"""The whole way with a real model: curves, evidence, formats, predictions, metrics."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import avel_tf
from avel_tf.video.decode import decode_clip
from tests.conftest import FLOAT32
from tests.serving.running import Running, real_options, running


@pytest.fixture(scope="module")
def clip(clips: Path) -> Path:
    return sorted((clips / "videos").glob("*.mp4") or clips.rglob("*.mp4"))[0]


@pytest.fixture(scope="module")
def real(
    exported: Path, clips: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """A server with a small trained model, whose folder of videos is a data set."""
    with running(real_options(exported, clips, tmp_path_factory.mktemp("state"))) as server:
        yield server


@pytest.fixture(scope="module")
def video(real: Running, clips: Path) -> dict:
    """A labelled video of four seconds."""
    path = real.get("/api/v1/folder")["files"][0]["path"]
    accepted = real.client.post("/api/v1/videos", json={"path": path}).json()
    job = real.wait(accepted["job"])
    assert job["state"] == "done" and job["done"] == job["total"] == 4
    return real.get(f"/api/v1/videos/{accepted['video']}")


def test_the_result_is_that_of_the_library(
    real: Running, video: dict, exported: Path, clips: Path
) -> None:
    expected = avel_tf.load(exported, engine=FLOAT32).localize(clips / video["name"])
    answer = real.client.get(f"/api/v1/videos/{video['id']}/results")
    result = avel_tf.Result.from_json(answer.text)
    assert result == replace(expected, video=video["name"])
    assert (video["model"], video["seconds"]) == (expected.model, 4)


def test_curves_and_evidence(real: Running, video: dict, exported: Path) -> None:
    base = f"/api/v1/videos/{video['id']}"
    curves = real.get(f"{base}/scores")
    scores = np.array(curves["scores"])  # [K, T]
    assert scores.shape == (len(curves["labels"]), 4) and curves["valid"] == [1] * 4
    highest = scores.max(1)
    assert (np.diff(highest) <= 0).all()
    second = real.get(f"{base}/seconds/2")
    assert (second["start"], second["end"]) == (2.0, 3.0)
    best = second["both"][0]
    column = scores[curves["labels"].index(best["label"]), 2]
    assert best["score"] == pytest.approx(column, abs=1e-4) == scores[:, 2].max()
    # By a modality alone: the head with zeros in place of the features of the other one.
    analysis = real.server.analysis(video["id"])
    visual, audio, valid = (analysis.array(name)[None] for name in ("visual", "audio", "valid"))
    alone = real.call(real.server.model.label(visual, np.zeros_like(audio), valid))[0, 2]
    assert second["visual"][0]["score"] == pytest.approx(alone[:-1].max(), abs=1e-3)
    alone = real.call(real.server.model.label(np.zeros_like(visual), audio, valid))[0, 2]
    assert second["audio"][0]["score"] == pytest.approx(alone[:-1].max(), abs=1e-3)
    real.get(f"{base}/seconds/4", 404)
    real.get(f"{base}/seconds/-1", 422)


def test_waveform_and_spectrogram(real: Running, video: dict, clips: Path) -> None:
    base = f"/api/v1/videos/{video['id']}"
    peaks = np.frombuffer(real.client.get(f"{base}/waveform").content, np.int8).reshape(-1, 2)
    waveform = decode_clip(clips / video["name"]).waveform
    assert peaks.shape == (200, 2)
    assert peaks[:, 1].max() == pytest.approx(waveform.max() * 127, abs=1)
    assert peaks[:, 0].min() == pytest.approx(waveform.min() * 127, abs=1)
    image = real.client.get(f"{base}/spectrogram/0.png")
    assert image.headers["content-type"] == "image/png"
    assert struct.unpack(">II", image.content[16:24]) == (80, 64)
    real.get(f"{base}/spectrogram/1.png", 404)


def test_a_tone_is_drawn_at_its_frequency() -> None:
    import librosa

    from avel_tf.serving.analysis import MEL_BANDS, spectrogram

    time = np.arange(16_000, dtype=np.float32) / 16_000
    centres = librosa.mel_frequencies(MEL_BANDS + 2, fmin=60, fmax=7_600)[1:-1]
    for band in (20, 50):
        tone = np.sin(2 * np.pi * centres[band] * time, dtype=np.float32)[None]
        columns = spectrogram(tone)[2:-2].astype(int)  # [16, 64]
        assert (abs(columns.argmax(1) - band) <= 1).all() and columns.max() > 200
    assert spectrogram(np.zeros((2, 16_000), np.float32)).shape == (40, MEL_BANDS)
    assert not spectrogram(np.zeros((2, 16_000), np.float32)).any()


@pytest.mark.parametrize("name", avel_tf.events.formats.FORMATS)
def test_every_format(real: Running, video: dict, name: str, tmp_path: Path) -> None:
    answer = real.client.get(f"/api/v1/videos/{video['id']}/results", params={"format": name})
    assert answer.status_code == 200, answer.text
    result = avel_tf.Result.from_json(real.client.get(f"/api/v1/videos/{video['id']}/results").text)
    assert answer.content == result.save(tmp_path / "file", name).read_bytes()


def test_an_unknown_format(real: Running, video: dict) -> None:
    answer = real.get(f"/api/v1/videos/{video['id']}/results?format=vttt", 422)
    assert "Did you mean 'vtt'?" in answer["error"]["message"]


def post(real: Running, path: Path, **form: str):
    with open(path, "rb") as file:
        return real.client.post("/v1/video/events", files={"file": file}, data=form)


def test_synchronous_labelling(real: Running, video: dict, clips: Path) -> None:
    path = clips / video["name"]
    expected = real.client.get(f"/api/v1/videos/{video['id']}/results").json()
    short = post(real, path).json()
    assert short == {"events": expected["events"], "duration": expected["duration"]}
    verbose = post(real, path, response_format="verbose_json", model="any").json()
    assert verbose == {**expected, "video": path.name}
    vtt = post(real, path, response_format="vtt")
    assert vtt.text.startswith("WEBVTT") and vtt.headers["content-type"].startswith("text/vtt")
    assert post(real, path, response_format="srt").status_code == 200
    assert post(real, path, response_format="mp3").status_code == 422
    assert not list((real.server.folder / "uploads").iterdir())


def test_a_file_that_cannot_be_decoded(real: Running) -> None:
    answer = real.client.post("/v1/video/events", files={"file": ("a.mp4", b"no video")})
    assert answer.status_code == 422
    message = answer.json()["error"]["message"]
    assert message.startswith("The file cannot be decoded: ") and "a.mp4" in message
    assert str(real.server.folder) not in message


def test_a_long_file_is_shown_the_way(
    real: Running, video: dict, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = replace(real.server.settings, max_synchronous_seconds=2.0)
    monkeypatch.setattr(real.server, "settings", limits)
    answer = post(real, clips / video["name"])
    assert answer.status_code == 413 and "POST /api/v1/videos" in answer.json()["error"]["message"]
    monkeypatch.setattr(real.server, "settings", replace(limits, max_seconds=2.0))
    answer = real.client.post("/api/v1/videos", json={"path": video["name"]})
    assert answer.status_code == 413 and "serving.max_seconds" in answer.text


def test_predictions_share_batches(real: Running, video: dict, clips: Path) -> None:
    info = real.server.model.info
    size = info["size"]
    clip = decode_clip(
        clips / video["name"],
        frames_per_second=info["frames_per_second"],
        size=(size, size),
    )
    model = real.server.model
    analysis = real.server.analysis(video["id"])
    waveform = clip.waveform.reshape(4, -1)

    async def several() -> list:
        import asyncio

        return await asyncio.gather(
            *(model.embed(clip.frames[n : n + 2], waveform[n : n + 2]) for n in range(3)),
            *(model.predict(clip.frames[None], clip.waveform[None]) for _ in range(2)),
        )

    *features, first, second = real.call(several())
    for number, (visual, audio) in enumerate(features):
        rows = slice(number, number + 2)
        assert np.allclose(visual, analysis.array("visual")[rows], atol=1e-4)
        assert np.allclose(audio, analysis.array("audio")[rows], atol=1e-3)
    assert np.allclose(first[0], analysis.array("probabilities"), atol=1e-3)
    assert np.allclose(first, second, atol=1e-5)


def test_metrics_are_read_by_prometheus(real: Running, video: dict) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    text = real.client.get("/metrics").text
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["avel_jobs", "done"] >= 1 and samples["avel_queue_length",] == 0
    assert samples["avel_labelled_seconds_total",] >= 4
    assert samples["avel_model_restarts_total",] == 0 and samples["avel_model_ready",] == 1
    assert ("avel_requests_total", "GET", "/api/v1/videos/{video}", "200") in samples


def test_what_the_page_learns_about_the_server(real: Running, exported: Path) -> None:
    info = real.get("/api/v1/info")
    assert info["labels"] == info["all_labels"] == list(avel_tf.load(exported).labels.names)
    assert info["version"] == avel_tf.__version__ and info["ready"] and info["evidence"]
    assert info["limits"]["upload_bytes"] == real.server.settings.max_upload_bytes
    assert real.get("/v2/health/live") and real.get("/v2/health/ready")
