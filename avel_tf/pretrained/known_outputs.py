"""Outputs of the pretrained localizer in TensorFlow, to verify other engines on first use.

`python -m avel_tf.pretrained.known_outputs` computes them again. This is needed when weights or
class table change; until then TensorFlow computes them on each machine.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from avel_tf.engines.known_outputs import SECONDS, sample_clip

FILE = Path(__file__).with_name("known_outputs.npz")
# In bfloat16 the cosine of EfficientNet-Lite2's embeddings is 0.998; int8 changes more than 1 % of
# the labels (docs/design/engines.md).
PRECISIONS = ("float32",)


def are_of(package_parts: str) -> bool:
    """Return True if the stored outputs are those of these parts of the package."""
    with np.load(FILE, allow_pickle=False) as arrays:
        return str(arrays["package_parts"]) == package_parts


def compute_known_outputs() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute visual [N, Dv], audio [N, Da] and labels [N] of the sample in TensorFlow."""
    from avel_tf.pretrained.networks import load_graphs

    graphs, _ = load_graphs()
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
        FILE,
        visual=visual,
        audio=audio,
        labels=labels,
        precisions=PRECISIONS,
        package_parts=package_parts(),
    )
    print(f"{FILE}: {visual.shape[0]} segments, {FILE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
