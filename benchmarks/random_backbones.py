"""What an untrained backbone can tell: why the compact ones are one wide layer.

    python benchmarks/random_backbones.py [--module PATH]

A ridge classifier learns from vectors of single seconds of synthetic clips which object is in the
picture, and which class sounds; both are known from the clips' plans. Prints Markdown tables.
"""

import argparse
import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from avel_tf.embeddings import load_audio, load_visual
from avel_tf.embeddings.log_mel import log_mel
from avel_tf.media.clip import SAMPLE_RATE
from avel_tf.media.decode import decode_clip
from avel_tf.media.synthesis import SynthesisSettings, make_dataset, make_plan

SIZE = 128
COUNTS = {"train": 110, "test": 60}
# Strength of the ridge penalty; the best is shown for every network alike.
PENALTIES = (10, 100, 1_000, 5_000)


def read(folder):
    """Pictures [N, H, W, 3], sound [N, 16000], and the names of what is seen and heard."""
    settings = SynthesisSettings()
    found = {}
    for split, count in COUNTS.items():
        pictures, sounds, seen, heard = [], [], [], []
        for index in range(count):
            clip = decode_clip(
                folder / "videos" / split / f"{index:05d}.mp4", seconds=10, size=(SIZE, SIZE)
            )
            plan = make_plan(index, settings, split=split)
            pictures.append(clip.frames[:, 0])
            sounds.append(clip.waveform.reshape(-1, SAMPLE_RATE))
            seen += [str(name) for name in plan.visible]
            heard += [str(name) for name in plan.sounding]
        found[split] = (np.concatenate(pictures), np.concatenate(sounds), seen, heard)
    return found


def random_network(layers, pools, seed):
    """A stack of strided convolutions with He-uniform weights, every layer pooled."""
    generator = np.random.default_rng(seed)
    weights, width = [], 3
    for channels, size in layers:
        bound = np.sqrt(6 / (size * size * width))
        weights.append(generator.uniform(-bound, bound, (size, size, width, channels)))
        width = channels

    def network(pictures):
        x = tf.cast(pictures, tf.float32) / 127.5 - 1
        vectors = []
        for weight in weights:
            x = tf.nn.relu(tf.nn.conv2d(x, tf.cast(weight, tf.float32), 2, "SAME"))
            vectors += [pool(x) for pool in pools]
        return tf.concat(vectors, axis=-1)

    return network


def score(network, train, test, train_names, test_names):
    """Width of the vectors, and the share of seconds that the best ridge classifier names."""
    vectors = [
        np.concatenate([np.asarray(network(x[i : i + 50])) for i in range(0, len(x), 50)])
        for x in (train, test)
    ]
    best = max(
        make_pipeline(StandardScaler(), RidgeClassifier(alpha=penalty))
        .fit(vectors[0], train_names)
        .score(vectors[1], test_names)
        for penalty in PENALTIES
    )
    return vectors[0].shape[1], best


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--module", help="also a trained visual module, for comparison")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        clips = make_dataset(scratch, train=COUNTS["train"], validation=0, test=COUNTS["test"])
        (train, train_sound, train_seen, train_heard), (test, test_sound, test_seen, test_heard) = (
            read(Path(clips)).values()
        )
    mean, maximum = keras.layers.GlobalAveragePooling2D(), keras.layers.GlobalMaxPooling2D()
    four = [(32, 3), (64, 3), (128, 3), (256, 3)]
    networks = {
        "four layers 3 x 3 (32, 64, 128, 256), mean": (four, [mean]),
        "the same, mean and maximum": (four, [mean, maximum]),
        "128 of 5 x 5, 256 of 5 x 5, mean and maximum": ([(128, 5), (256, 5)], [mean, maximum]),
        "256 of 5 x 5, mean and maximum": ([(256, 5)], [mean, maximum]),
        "512 of 7 x 7, mean and maximum": ([(512, 7)], [mean, maximum]),
    }
    print("| visual network | width | right |\n|---|---|---|")
    for name, (layers, pools) in networks.items():
        results = [
            score(random_network(layers, pools, seed), train, test, train_seen, test_seen)
            for seed in (0, 1)
        ]
        print(f"| {name} | {results[0][0]} | {np.mean([r[1] for r in results]):.2f} |", flush=True)
    for name in ["compact", *([options.module] if options.module else [])]:
        width, right = score(load_visual(name), train, test, train_seen, test_seen)
        print(f"| `{name}` | {width} | {right:.2f} |", flush=True)

    def statistics(sounds):
        bands = log_mel(tf.constant(sounds))  # [N, 100, 64]
        return tf.concat([tf.reduce_mean(bands, 1), tf.math.reduce_std(bands, 1)], -1)

    compact = load_audio("compact")
    print("\n| audio network | width | right |\n|---|---|---|")
    for name, network in (
        ("log-mel, mean and deviation", statistics),
        ("`compact`", lambda sounds: compact(sounds.reshape(-1))),
    ):
        width, right = score(network, train_sound, test_sound, train_heard, test_heard)
        print(f"| {name} | {width} | {right:.2f} |", flush=True)
