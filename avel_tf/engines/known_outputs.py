"""Sample of frames and audio with stored outputs of TensorFlow, to verify other engines."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from avel_tf.engines.engine import KnownOutputs
from avel_tf.video.clip import SAMPLE_RATE, Clip, MediaInfo

# A full call of OpenVINO at two frames per second.
SECONDS, FRAMES, SIZE = 5, 2, 260
# Pixels of a patch of one colour, for each second.
PATCHES = (130, 65, 26, 10, 4)


def read_known_outputs(path: Path) -> KnownOutputs:
    """Read a file of the arrays `visual`, `audio`, `labels` and `precisions`."""
    with np.load(path, allow_pickle=False) as arrays:
        outputs = arrays["visual"], arrays["audio"], arrays["labels"]
        precisions = tuple(map(str, arrays["precisions"]))
    return KnownOutputs(lambda: [sample_clip()], *outputs, precisions)


def sample_clip() -> Clip:
    """A clip of coloured patches and harmonic sounds, the same on every machine."""
    random = np.random.RandomState(0)  # its stream is frozen, unlike that of `default_rng`
    frames = np.zeros((SECONDS, FRAMES, SIZE, SIZE, 3), np.uint8)  # [T, F, H, W, 3]
    for pictures, patch in zip(frames, PATCHES, strict=True):
        patches = random.randint(0, 256, (FRAMES, SIZE // patch, SIZE // patch, 3))
        pictures[:] = patches.repeat(patch, axis=1).repeat(patch, axis=2)
    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE  # [16000]
    waveform = np.zeros((SECONDS, SAMPLE_RATE))
    for second in waveform:
        pitch = random.randint(100, 1_000)
        noise = random.random_sample(SAMPLE_RATE) - 0.5
        second[:] = noise * random.random_sample() / 8
        for harmonic, loudness in enumerate(random.random_sample(7) / 8, start=1):
            second[:] += np.sin(2 * np.pi * pitch * harmonic * time) * loudness
    info = MediaInfo(
        *("the stored sample", "none", float(SECONDS), SIZE, SIZE, float(FRAMES)),
        *("none", None, None, None, None, None),
    )
    return Clip(
        frames,
        waveform.reshape(-1).astype(np.float32),
        np.ones(SECONDS, bool),
        info,
        has_sound=True,
        problem=None,
    )
