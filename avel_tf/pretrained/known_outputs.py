"""Outputs of the pretrained localizer in TensorFlow, to verify other engines on first use.

`python -m avel_tf.pretrained.known_outputs` computes them again. This is needed when weights or
class table change; until then TensorFlow computes them on each machine.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from avel_tf.engines.engine import KnownOutputs
from avel_tf.video.clip import SAMPLE_RATE, Clip, MediaInfo

FILE = Path(__file__).with_name("known_outputs.npz")
# A full call of OpenVINO at two frames per second.
SECONDS, FRAMES, SIZE = 5, 2, 260
# Pixels of a patch of one colour, for each second.
PATCHES = (130, 65, 26, 10, 4)
# In bfloat16 the cosine of EfficientNet-Lite2's embeddings is 0.998 (docs/design/engines.md).
PRECISIONS = ("float32",)


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


def read_known_outputs(package_parts: str) -> KnownOutputs | None:
    """Read the outputs; None if they are those of other weights or another class table."""
    with np.load(FILE, allow_pickle=False) as arrays:
        if str(arrays["package_parts"]) != package_parts:
            return None
        outputs = arrays["visual"], arrays["audio"], arrays["labels"]
    return KnownOutputs([sample_clip()], *outputs, PRECISIONS)


def compute_known_outputs() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute visual [N, Dv], audio [N, Da] and labels [N] of the sample in TensorFlow."""
    from avel_tf.export.module import LocalizerModule
    from avel_tf.pretrained.zero_shot import load_zero_shot

    parts = load_zero_shot()
    graphs = LocalizerModule(parts.extractor, parts.head).graphs()
    clip = sample_clip()
    visual, audio = graphs.embed(clip.frames[:, None], clip.waveform.reshape(SECONDS, -1))
    visual, audio = visual.numpy()[:, 0], audio.numpy()[:, 0]
    assert graphs.label is not None
    labels = graphs.label(visual[None], audio[None], np.ones((1, SECONDS), bool))
    return visual, audio, labels.numpy()[0].argmax(-1)


def main() -> None:
    """Write the outputs beside this file."""
    from avel_tf.pretrained.zero_shot import package_parts

    visual, audio, labels = compute_known_outputs()
    np.savez_compressed(
        FILE, visual=visual, audio=audio, labels=labels, package_parts=package_parts()
    )
    print(f"{FILE}: {visual.shape[0]} segments, {FILE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
