"""Accuracy and cost for several numbers of frames per second.

    python benchmarks/frames_per_second.py DATA [--visual MODULE] [--audio MODULE] [--seeds 3]

Every clip is embedded once at the largest F; the features of a smaller F are means over the
frames it would sample. A model is trained for each F and seed. Prints a Markdown table.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from avel_tf.datasets import load_dataset, segment_labels
from avel_tf.embeddings import load_audio, load_visual
from avel_tf.features.examples import Examples
from avel_tf.models import ModelSettings, build, fit_normalization
from avel_tf.training.checkpoint import EpochCheckpoint
from avel_tf.training.fit import compile_model
from avel_tf.training.settings import TrainingSettings
from avel_tf.video.decode import decode_clip

SECONDS = 10
EVERY_F = (1, 2, 4, 8, 16)

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("data", type=Path)
parser.add_argument("--visual", default="compact")
parser.add_argument("--audio", default="compact")
parser.add_argument("--seeds", type=int, default=3)
parser.add_argument("--epochs", type=int, default=40)
options = parser.parse_args()

dataset = load_dataset(options.data)
visual, audio = load_visual(options.visual), load_audio(options.audio)


def embed(video, frames_per_second):
    """Visual [T, F, Dv], audio [T, Da], valid [T]; and the seconds that decode and embed took."""
    began = time.perf_counter()
    clip = decode_clip(
        video.path,
        seconds=SECONDS,
        frames_per_second=frames_per_second,
        size=(visual.size, visual.size),
    )
    decoded = time.perf_counter()
    pictures = clip.frames.reshape(-1, *clip.frames.shape[2:])  # [T*F, H, W, 3]
    vectors = visual(pictures).numpy().reshape(SECONDS, frames_per_second, -1)  # [T, F, Dv]
    return (vectors, audio(clip.waveform).numpy(), clip.valid), (
        decoded - began,
        time.perf_counter() - decoded,
    )


def cost(frames_per_second):
    """Median seconds per clip for decoding and for embedding, over the first clips."""
    times = [embed(video, frames_per_second)[1] for video in dataset.videos[:8]]
    return np.median(times[1:], axis=0)  # the first one traces the graph


everything = {video.id: embed(video, max(EVERY_F))[0] for video in dataset.videos}


def examples(split, frames_per_second):
    """Features of a split for a smaller F, from those of the largest."""
    step = max(EVERY_F) // frames_per_second
    # A smaller F samples the middle of its part of the second: the nearest frame.
    chosen = np.arange(frames_per_second) * step + step // 2
    columns = zip(
        *(
            (
                everything[video.id][0][:, chosen].mean(1),
                everything[video.id][1],
                everything[video.id][2],
                segment_labels(video.annotations, dataset.labels, SECONDS),
            )
            for video in dataset.split(split)
        ),
        strict=True,
    )
    return Examples(*(np.stack(column) for column in columns))


def accuracy(frames_per_second, seed):
    """Test segment accuracy of the epoch that is best on validation."""
    train, validation, test = (
        examples(split, frames_per_second) for split in ("train", "validation", "test")
    )
    settings = TrainingSettings(epochs=options.epochs, seed=seed)
    model = build(
        ModelSettings(),
        visual_width=visual.width,
        audio_width=audio.width,
        classes=len(dataset.labels),
        seed=seed,
    )
    fit_normalization(model, train.visual[train.valid], train.audio[train.valid])
    steps = -(-len(train) // settings.batch_size)
    trained = compile_model(model, settings, steps)
    with tempfile.TemporaryDirectory() as folder:
        keep = EpochCheckpoint(Path(folder), Path(folder) / "model.keras", localizer=model)
        trained.fit(
            train.batches(settings.batch_size, seed=seed, first_epoch=0, epochs=settings.epochs),
            shuffle=False,
            steps_per_epoch=steps,
            epochs=settings.epochs,
            validation_data=validation.in_order(64),
            callbacks=[keep],
            verbose=0,
        )
        model.load_weights(Path(folder) / "model.keras")
    inputs = {"visual": test.visual, "audio": test.audio, "valid": test.valid}
    predicted = np.asarray(model(inputs, training=False)).argmax(-1)
    return (predicted == test.targets)[test.valid].mean()


print("| F | decode, s a clip | embed, s a clip | segment accuracy | cosine to F = 16 |")
print("|---|---|---|---|---|")
largest = examples("test", max(EVERY_F)).visual
for count in EVERY_F:
    decode_time, embed_time = cost(count)
    scores = [accuracy(count, seed) for seed in range(options.seeds)]
    vectors = examples("test", count).visual
    cosine = (vectors * largest).sum(-1) / (
        np.linalg.norm(vectors, axis=-1) * np.linalg.norm(largest, axis=-1)
    )
    spread = np.std(scores, ddof=1) if len(scores) > 1 else float("nan")
    print(
        f"| {count} | {decode_time:.2f} | {embed_time:.2f} | {np.mean(scores):.3f} ± {spread:.3f} "
        f"| {np.median(cosine):.4f} |",
        flush=True,
    )
