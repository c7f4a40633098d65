"""Analysis of a video: features, probabilities, evidence, waveform and spectrogram of each second.

The model process writes it beside the result, and the page draws from it.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from avel_tf.engines.windows import predict_in_windows
from avel_tf.events.labels import BACKGROUND
from avel_tf.events.result import Result
from avel_tf.features.features import Features
from avel_tf.inference.pipeline import InferencePipeline
from avel_tf.utils.durable_files import atomic_path
from avel_tf.video.clip import SAMPLE_RATE
from avel_tf.video.segment_loader import DecodeStatus, SegmentBatch

PEAKS_PER_SECOND = 50
COLUMNS_PER_SECOND = 20
MEL_BANDS = 64
# As of the audio backbones (avel_tf/embeddings/log_mel.py).
_MEL_HZ = (60.0, 7_600.0)
_FFT = 512
# Two windows per column.
_HOP = SAMPLE_RATE // COLUMNS_PER_SECOND // 2
# Range of the grey levels: from the noise of a quiet recording to a loud tone, dB of full scale.
_DECIBELS = (-75.0, 0.0)
# Seconds of a spectrogram image.
TILE_SECONDS = 60


class AnalysisWriter:
    """Collects the analysis of one file while it is labelled; a `LabellingObserver`.

    Args:
        pipeline: The model.
        on_progress: Called with the number of seconds embedded so far. An exception that it raises
            ends the labelling.
    """

    def __init__(self, pipeline: InferencePipeline, on_progress: Callable[[int], None]) -> None:
        self._pipeline = pipeline
        self._on_progress = on_progress
        self._columns: list[tuple[np.ndarray, ...]] = []
        self._seconds = 0
        self._probabilities = np.zeros((0, 0), np.float32)

    def on_batch(self, batch: SegmentBatch, features: Features) -> None:
        """Keep the features of a batch, and what can be drawn of its audio."""
        self._columns.append(
            (
                features.visual,
                features.audio,
                features.valid,
                peaks(batch.waveform),
                spectrogram(batch.waveform),
            )
        )
        self._seconds += len(features.valid)
        self._on_progress(self._seconds)

    def on_probabilities(self, index: int, probabilities: np.ndarray) -> None:
        """Keep the probabilities float32 [T, C+1] of the file."""
        self._probabilities = probabilities

    def save(self, path: Path) -> None:
        """Write the analysis, as a whole or not at all.

        Raises:
            OSError: The file cannot be written.
        """
        pipeline = self._pipeline
        visual, audio, valid, envelope, mel = map(np.concatenate, zip(*self._columns, strict=True))
        seen, heard = self._evidence(visual, audio, valid)
        meta = {"labels": pipeline.labels.names, "all_labels": pipeline.model.labels.names}
        with atomic_path(path, sole_writer=True) as temporary, open(temporary, "wb") as file:
            np.savez(
                file,
                meta=np.frombuffer(json.dumps(meta).encode(), np.uint8),
                visual=visual,
                audio=audio,
                valid=valid,
                probabilities=pipeline.selected_probabilities(self._probabilities),
                visual_evidence=seen,
                audio_evidence=heard,
                peaks=envelope,
                mel=mel,
            )

    @classmethod
    def again(cls, pipeline: InferencePipeline, former: Analysis) -> AnalysisWriter:
        """Writer of the analysis of a video whose features are known."""
        writer = cls(pipeline, lambda seconds: None)
        names = ("visual", "audio", "valid", "peaks", "mel")
        writer._columns.append(tuple(former.array(name) for name in names))
        return writer

    def _evidence(
        self, visual: np.ndarray, audio: np.ndarray, valid: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Scores [T, C] of each class by each modality alone.

        Those of a zero-shot model are its class scores. Other models run with the features of the
        other modality absent, which are zeros.
        """
        if evidence := self._pipeline.evidence(visual, audio):
            return evidence[0], evidence[1]
        settings = self._pipeline.inference
        seen, heard = (
            predict_in_windows(
                self._pipeline.label_features,
                [columns],
                window_seconds=settings.window_seconds,
                hop_seconds=settings.hop_seconds,
                batch_size=settings.batch_clips,
                multi_label=self._pipeline.model.postprocessing.multi_label,
            )[0][:, :-1]
            for columns in (
                (visual, np.zeros_like(audio), valid),
                (np.zeros_like(visual), audio, valid),
            )
        )
        return seen, heard


def relabel(path: Path, pipeline: InferencePipeline, record: str) -> Result:
    """Label a video again from the features of its analysis, which is rewritten.

    Args:
        path: The analysis.
        pipeline: A model of the same backbones.
        record: JSON line of the former result.

    Returns:
        The result; file, status, reason and duration are the former ones.

    Raises:
        ValueError: The features are of other backbones.
        OSError: The analysis cannot be read or written.
    """
    former, analysis = Result.from_json(record), Analysis(path)
    visual, audio, valid = (analysis.array(name) for name in ("visual", "audio", "valid"))
    recipe = pipeline.model.recipe
    if (visual.shape[1], audio.shape[1]) != (recipe.visual.width, recipe.audio.width):
        raise ValueError(
            f"The features of {former.video!r} are of other backbones than those of the model "
            f"{pipeline.model.name}; label the file again."
        )
    settings = pipeline.inference
    probabilities = predict_in_windows(
        pipeline.label_features,
        [(visual, audio, valid)],
        window_seconds=settings.window_seconds,
        hop_seconds=settings.hop_seconds,
        batch_size=settings.batch_clips,
        multi_label=pipeline.model.postprocessing.multi_label,
    )[0]
    status = DecodeStatus(len(valid), former.duration, audio_track=former.audio_track)
    evidence = pipeline.evidence(visual, audio)
    result = pipeline.result(former.video, probabilities, valid, status, evidence)
    writer = AnalysisWriter.again(pipeline, analysis)
    writer.on_probabilities(0, probabilities)
    writer.save(path)
    return replace(result, status=former.status, reason=former.reason)


class Analysis:
    """Analysis of one video, read from its file; arrays are loaded when they are used.

    Args:
        path: The file.

    Raises:
        FileNotFoundError: There is no analysis.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._changed = path.stat().st_mtime_ns

    def array(self, name: str) -> np.ndarray:
        """An array by name, read-only.

        Args:
            name: `visual` float32 [T, Dv], `audio` float32 [T, Da], `valid` bool [T],
                `probabilities` float32 [T, K+1] of the K labelled classes, background last,
                `visual_evidence` and `audio_evidence` float32 [T, C] of all classes of the model,
                `peaks` int8 [T*50, 2], or `mel` uint8 [T*20, 64].
        """
        return _array(self._path, self._changed, name)

    @property
    def labels(self) -> Sequence[str]:
        """The labelled classes, K names."""
        return self._meta["labels"]

    @property
    def all_labels(self) -> Sequence[str]:
        """All classes of the model, C names."""
        return self._meta["all_labels"]

    @property
    def _meta(self) -> dict[str, Any]:
        return json.loads(self.array("meta").tobytes())

    def label(self, second: int) -> str:
        """The most probable class of a second, or background."""
        best = int(self.array("probabilities")[second].argmax())
        return self.labels[best] if best < len(self.labels) else BACKGROUND

    def best(self, second: int, count: int = 5) -> dict[str, list[dict[str, Any]]]:
        """The best classes of a second: of both modalities, the frames alone, the audio alone.

        Returns:
            `both`, `visual` and `audio`, each a list of `{"label", "score"}`, the highest first.
        """
        rows = {
            "both": (self.array("probabilities")[second, :-1], self.labels),
            "visual": (self.array("visual_evidence")[second], self.all_labels),
            "audio": (self.array("audio_evidence")[second], self.all_labels),
        }
        return {
            name: [
                {"label": labels[index], "score": round(min(float(scores[index]), 1.0), 4)}
                for index in np.argsort(-scores, kind="stable")[:count]
            ]
            for name, (scores, labels) in rows.items()
        }

    def tile(self, number: int) -> bytes | None:
        """PNG of the log-mel spectrogram of a minute, low frequencies at the bottom.

        Args:
            number: k, for the seconds from 60 k.

        Returns:
            The image, grey, 64 rows, 20 columns per second; None after the end.
        """
        import cv2

        width = TILE_SECONDS * COLUMNS_PER_SECOND
        part = self.array("mel")[number * width : (number + 1) * width]  # [columns, 64]
        if not len(part):
            return None
        encoded, image = cv2.imencode(".png", np.ascontiguousarray(part.T[::-1]))
        assert encoded
        return image.tobytes()


# An hour of 144 classes takes 2 MB for each of the arrays that the page uses.
@functools.lru_cache(maxsize=24)
def _array(path: Path, changed: int, name: str) -> np.ndarray:
    with np.load(path, allow_pickle=False) as arrays:
        array = arrays[name]
    array.flags.writeable = False
    return array


def peaks(waveform: np.ndarray) -> np.ndarray:
    """Smallest and largest sample of each fiftieth of a second.

    Args:
        waveform: float32 [N, 16000] in [-1, 1].

    Returns:
        int8 [N*50, 2].
    """
    parts = waveform.reshape(-1, SAMPLE_RATE // PEAKS_PER_SECOND)
    ends = np.stack([parts.min(1), parts.max(1)], axis=1)
    return np.clip(np.round(ends * 127), -127, 127).astype(np.int8)


def spectrogram(waveform: np.ndarray) -> np.ndarray:
    """Log-mel spectrogram for display.

    Args:
        waveform: float32 [N, 16000], consecutive seconds.

    Returns:
        uint8 [N*20, 64], low frequencies first, 0 for -75 dB or less.
    """
    margin = (_FFT - _HOP) // 2
    padded = np.pad(waveform.reshape(-1), (margin, _FFT))
    windows = np.lib.stride_tricks.sliding_window_view(padded, _FFT)[::_HOP]
    windows = windows[: waveform.size // _HOP]  # [N*40, 512]
    spectrum = np.abs(np.fft.rfft(windows * np.hanning(_FFT).astype(np.float32))) ** 2
    # A full-scale sine has (FFT / 4)^2 in its bin.
    mel = spectrum / (_FFT / 4) ** 2 @ _mel_weights().T  # [N*40, 64]
    power = mel.reshape(-1, 2, MEL_BANDS).mean(1)  # [N*20, 64]
    low, high = _DECIBELS
    grey = (10 * np.log10(np.maximum(power, 1e-12)) - low) / (high - low) * 255
    return np.clip(np.round(grey), 0, 255).astype(np.uint8)


@functools.cache
def _mel_weights() -> np.ndarray:
    """Triangular filters on the mel scale of HTK (The HTK Book, section 5.4), [64, 257].

    They equal `librosa.filters.mel(htk=True, norm=None)`. Importing librosa would make each process
    of a model start more than a second later.
    """
    low, high = 2595 * np.log10(1 + np.array(_MEL_HZ) / 700)
    edges = 700 * (10 ** (np.linspace(low, high, MEL_BANDS + 2) / 2595) - 1)
    bins = np.fft.rfftfreq(_FFT, 1 / SAMPLE_RATE)
    triangles = (edges[band : band + 3] for band in range(MEL_BANDS))
    return np.stack([np.interp(bins, triangle, (0, 1, 0)) for triangle in triangles])
