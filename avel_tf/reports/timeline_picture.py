"""Timeline picture of a video: frames, spectrogram, predicted and annotated events."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from avel_tf.datasets import Annotation, active_classes, segment_labels
from avel_tf.events.labels import BACKGROUND, Labels
from avel_tf.events.result import Result
from avel_tf.reports.style import GRID, INK, MUTED, PALETTE, new_figure, style
from avel_tf.reports.video_view import lanes
from avel_tf.video.clip import SAMPLE_RATE
from avel_tf.video.decode import DecodeSettings, decode_clip

# One frame per second. More would be illegible at the width of a page.
MAX_SECONDS = 15
_PICTURE_HEIGHT, _PICTURE_WIDTH = 180, 240
_FFT, _HOP, _MEL_BANDS = 512, 160, 64  # samples, samples, bands
_QUIETEST = 1e-7  # power relative to the loudest place: -70 dB
# Brightness of places without attention.
_DARKEST = 0.2
_RIGHT, _WRONG = PALETTE[2], PALETTE[4]


def write_timeline_picture(
    result: Result,
    path: Path,
    *,
    reference: Sequence[tuple[str, float, float]] | None = None,
    attention: np.ndarray | None = None,
    media: DecodeSettings | None = None,
) -> Path:
    """Draw the first seconds of a labelled video.

    From top to bottom: the middle frame of each second with its predicted label; the log-mel
    spectrogram on the same time axis; the predicted events; and, if given, the annotated events.

    Args:
        result: Result of `Localizer.localize`. Its video is decoded again.
        path: The PNG to write.
        reference: Annotated events as (label, start, end), in seconds.
        attention: Spatial attention maps, float [T, rows, columns], from
            `inference.spatial_attention.spatial_attention_maps`. Places without attention are
            darkened.
        media: Decoder settings.

    Returns:
        `path`.

    Raises:
        MediaError: If the video cannot be read.
    """
    seconds = max(1, min(MAX_SECONDS, len(result.seconds)))
    size = (_PICTURE_HEIGHT, _PICTURE_WIDTH)
    clip = decode_clip(result.video, seconds=seconds, size=size, settings=media)
    several = any(second.labels is not None for second in result.seconds)
    found: list[tuple[str, ...]] = [()] * seconds
    for second in result.seconds:
        if second.start < seconds:
            one = () if second.label == BACKGROUND else (second.label,)
            names = (each.label for each in second.labels or ())
            found[int(second.start)] = tuple(names) if several else one
    rows = [("predicted", lane) for lane in lanes(found)]
    true = None
    if reference is not None:
        true = _labels_of(reference, seconds, several)
        rows += [("annotated", lane) for lane in lanes(true)]
    with style():
        figure, axes = new_figure(
            1.1 * seconds,
            2.5 + 0.35 * len(rows),
            nrows=2 + len(rows),
            sharex=True,
            gridspec_kw={"height_ratios": [0.85, 1.2, *([0.35] * len(rows))]},
        )
        frames = list(clip.frames[:, 0])  # [H, W, 3] each
        if attention is not None:
            frames[: len(attention)] = map(_lit, frames, attention)
        _draw_frames(axes[0], frames, [" + ".join(names) or BACKGROUND for names in found])
        _draw_sound(axes[1], clip.waveform)
        for number, (axis, (name, lane)) in enumerate(zip(axes[2:], rows, strict=True)):
            first = number == 0 or rows[number - 1][0] != name
            _draw_labels(axis, name if first else "", lane)
            if true is not None and name == "predicted" and rows[number + 1][0] != name:
                right = [set(one) == set(other) for one, other in zip(found, true, strict=True)]
                _draw_marks(axis, right)
        axes[-1].set_xlim(0, seconds)
        axes[-1].set_xlabel("seconds")
        figure.set_facecolor("white")
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=110, metadata={"Software": None})
    return path


def _labels_of(
    reference: Sequence[tuple[str, float, float]], seconds: int, several: bool
) -> list[tuple[str, ...]]:
    """Annotated labels of each second; at most one unless `several`."""
    events = [Annotation(*event) for event in reference]
    if not events:
        return [()] * seconds
    labels = Labels(sorted({event.label for event in events}))
    active = active_classes(events, labels, seconds)  # [T, C]
    if not several:
        index = segment_labels(events, labels, seconds)  # [T]
        active = index[:, None] == np.arange(len(labels))
    return [tuple(name for name, on in zip(labels, row, strict=True) if on) for row in active]


def _lit(picture: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Frame [H, W, 3] with the brightness of its attention map [rows, columns]."""
    light = cv2.resize(
        (shares / shares.max()).astype(np.float32),
        (picture.shape[1], picture.shape[0]),
        interpolation=cv2.INTER_LINEAR,
    )  # [H, W]
    shown = picture * (_DARKEST + (1 - _DARKEST) * light[..., None])
    return shown.round().astype(np.uint8)


def _draw_frames(axis: Any, frames: Sequence[np.ndarray], found: list[str]) -> None:
    for second, picture in enumerate(frames):  # [H, W, 3]
        axis.imshow(
            _with_banner(picture, found[second]),
            extent=(second + 0.02, second + 0.98, 0, 1),
            aspect="auto",
        )
    _bare(axis)


def _with_banner(picture: np.ndarray, label: str) -> np.ndarray:
    """Frame [H, W, 3] with its label along the lower edge, unless it is background."""
    if label == BACKGROUND:
        return picture
    picture = picture.copy()
    height, width = picture.shape[:2]
    top = height - 34
    picture[top:] = (picture[top:] * 0.25).astype(np.uint8)
    text = label.split(",")[0]
    scale = 0.8
    (text_width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_DUPLEX, scale, 1)
    scale *= min(1.0, (width - 12) / text_width)
    cv2.putText(
        picture,
        text,
        (6, height - 10),
        cv2.FONT_HERSHEY_DUPLEX,
        scale,
        (255, 255, 255),
        1,
        cv2.LINE_AA,
    )
    return picture


def _draw_sound(axis: Any, waveform: np.ndarray) -> None:
    # The rest of librosa takes two seconds to import.
    import librosa.filters
    from scipy.signal import ShortTimeFFT
    from scipy.signal.windows import hann

    transform = ShortTimeFFT(hann(_FFT, sym=False), hop=_HOP, fs=SAMPLE_RATE)
    spectrum = transform.spectrogram(waveform, p0=0, p1=len(waveform) // _HOP)
    bands = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=_FFT, n_mels=_MEL_BANDS)
    power = bands @ spectrum  # [bands, frames]
    loudest = power.max() or 1.0  # of silence
    decibels = 10 * np.log10(np.maximum(power / loudest, _QUIETEST))
    axis.imshow(
        decibels,
        origin="lower",
        aspect="auto",
        cmap="magma",
        extent=(0, len(waveform) / SAMPLE_RATE, 0, _MEL_BANDS),
    )
    _bare(axis)
    axis.set_ylabel("mel bands")


def _draw_labels(axis: Any, name: str, lane: Sequence[tuple[str, int, int]]) -> None:
    for label, start, end in lane:
        quiet = label == BACKGROUND
        axis.barh(0, end - start - 0.04, left=start + 0.02, color=GRID if quiet else PALETTE[0])
        axis.text(
            (start + end) / 2,
            0,
            label.split(",")[0],
            ha="center",
            va="center",
            color=MUTED if quiet else "white",
            clip_on=True,
        )
    axis.set_ylim(-0.5, 0.5)
    _bare(axis)
    axis.set_ylabel(name, rotation=0, ha="right", va="center", color=INK)


def _draw_marks(axis: Any, right: Sequence[bool]) -> None:
    """A line below each second: green for correct, orange for wrong."""
    for second, is_right in enumerate(right):
        axis.plot(
            [second + 0.04, second + 0.96],
            [-0.47, -0.47],
            lw=2.5,
            color=_RIGHT if is_right else _WRONG,
        )


def _bare(axis: Any) -> None:
    axis.set_yticks([])
    axis.grid(False)
    axis.spines["bottom"].set_visible(False)
