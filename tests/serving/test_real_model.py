"""The whole way with a real model: curves, evidence, formats, predictions, search, review."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import avel_tf
from avel_tf.serving.review import FEWEST_JUDGEMENTS
from avel_tf.video.decode import decode_clip
from tests.serving.running import Running, label_all


@pytest.fixture(scope="module")
def video(real: Running, clips: Path) -> dict:
    """A labelled video of four seconds."""
    path = real.get("/api/v1/folder")["files"][0]["path"]
    accepted = real.client.post("/api/v1/videos", json={"path": path}).json()
    job = real.wait(accepted["job"])
    assert job["state"] == "done" and job["done"] == job["total"] == 4
    return real.get(f"/api/v1/videos/{accepted['video']}")


def test_the_result_is_that_of_the_library(
    real: Running, video: dict, localizer: avel_tf.Localizer, clips: Path
) -> None:
    expected = localizer.localize(clips / video["name"])
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
    centres = librosa.mel_frequencies(MEL_BANDS + 2, fmin=60, fmax=7_600, htk=True)[1:-1]
    for band in (20, 50):
        tone = np.sin(2 * np.pi * centres[band] * time, dtype=np.float32)[None]
        columns = spectrogram(tone)[2:-2].astype(int)  # [16, 64]
        assert (abs(columns.argmax(1) - band) <= 1).all() and columns.max() > 200
    noise = np.random.default_rng(0).normal(0, 0.1, 32_000).astype(np.float32)
    power = librosa.feature.melspectrogram(
        y=np.pad(noise, (56, 512)), sr=16_000, n_fft=512, hop_length=400, center=False, n_mels=64,
        fmin=60, fmax=7_600, htk=True, norm=None,
    )[:, :80].reshape(64, 40, 2).mean(2)  # fmt: skip
    decibels = 10 * np.log10(power.T / 128**2)
    drawn = spectrogram(noise.reshape(2, 16_000))
    assert abs(drawn - np.clip((decibels + 75) / 75 * 255, 0, 255)).max() < 1
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


def test_what_the_page_learns_about_the_server(real: Running, localizer: avel_tf.Localizer) -> None:
    info = real.get("/api/v1/info")
    assert info["labels"] == info["all_labels"] == list(localizer.labels)
    assert info["version"] == avel_tf.__version__ and info["ready"] and info["evidence"]
    assert info["limits"]["upload_bytes"] == real.server.settings.max_upload_bytes
    assert real.get("/v2/health/live") and real.get("/v2/health/ready")


def test_a_second_finds_itself_in_a_copy(real: Running) -> None:
    example = label_all(real)[0]
    body = {"video": example["id"], "second": 1, "limit": 5}
    matches = real.client.post("/api/v1/search", json=body).json()["matches"]
    similar = [each["similarity"] for each in matches]
    assert len(matches) == 5 and similar == sorted(similar, reverse=True)
    assert all(-1 <= each <= 1.0001 for each in similar)
    assert not any(e["video"] == example["id"] and abs(e["start"] - 1) <= 1 for e in matches)
    path = real.server.data / example["name"]
    copied = real.upload("copy.mp4", path.read_bytes())
    assert real.wait(copied["job"])["state"] == "done"
    best = real.client.post("/api/v1/search", json=body).json()["matches"][0]
    assert (best["video"], best["start"]) == (copied["video"], 1.0)
    assert best["similarity"] == pytest.approx(1.0, abs=1e-4)
    assert real.client.delete(f"/api/v1/videos/{copied['video']}").status_code == 204
    body["second"] = 99
    assert real.client.post("/api/v1/search", json=body).status_code == 404


def test_review_proposes_a_threshold_and_writes_it(real: Running) -> None:
    label_all(real)
    queue = real.get("/api/v1/review?limit=1000")
    events = [each for each in queue["events"] if each["status"] == "predicted"]
    assert queue["total"] == len(events) > 0
    doubt = [abs(each["score"] - 0.5) for each in events]
    assert doubt == sorted(doubt)
    label = max({each["label"] for each in events}, key=[e["label"] for e in events].count)
    chosen = real.get(f"/api/v1/review?order=random&label={label}")["events"]
    assert {each["label"] for each in chosen} == {label}
    for each in chosen:
        path = f"/api/v1/videos/{each['video']}/annotations/{each['id']}"
        status = (
            "accepted" if each["score"] >= np.median([e["score"] for e in chosen]) else "rejected"
        )
        assert real.client.patch(path, json={"status": status}).status_code == 200
    # Any precision up to the share of accepted events is reached at some score.
    curve = real.get(f"/api/v1/review/curve?label={label}&precision=0.1")
    assert curve["reviewed"] == len(chosen) >= curve["accepted"] > 0
    if len(chosen) < FEWEST_JUDGEMENTS:
        assert curve["threshold"] is None and curve["curve"] == []
        body = {"label": label, "precision": 0.1}
        assert real.client.post("/api/v1/review/threshold", json=body).status_code == 409
        return
    points = [(p["low"], p["precision"], p["high"]) for p in curve["curve"]]
    assert all(low <= middle <= high for low, middle, high in points)
    answer = real.client.post("/api/v1/review/threshold", json={"label": label, "precision": 0.1})
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert made["threshold"] == curve["threshold"]
    folder = real.server.models.folder / made["model"].rpartition("/")[2]
    model = avel_tf.ExportedModel(folder)
    model.check()
    assert model.postprocessing.events.min_scores[label] == made["threshold"]
