"""avel demo: the whole pipeline offline, from synthetic clips to labelled segments."""

from __future__ import annotations

import argparse
import shlex
import shutil
import time
from pathlib import Path

from avel_tf.cli.main import command_parser
from avel_tf.cli.paths import output_folder

# With 80 training clips the segment accuracy is lower by 0.09 (2026-11-29).
TRAIN_CLIPS, VALIDATION_CLIPS, TEST_CLIPS = 110, 20, 30
SEED = 0
# The compact backbone resizes frames to 80 pixels, a third of which is 27.
OBJECT_HEIGHT = (0.35, 0.6)
# Players show two frames per second, the model reads one. With two, its segment accuracy is the
# same: 0.925 on average over five seeds (2026-11-30).
FRAME_RATE = 2.0
MARKER = ".avel-demo"

CONFIGURATION = """\
# Settings of avel demo: the compact backbones, which need no download. TF-Hub's ResNet-152 and
# VGGish are more accurate on real video.
embeddings:
  visual:
    module: compact
    frames_per_second: 1
  audio:
    module: compact
training:
  epochs: 20
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "--out",
        type=output_folder,
        default="demo",
        metavar="DIR",
        help="folder to write to (default: demo/)",
    )


def run(options: argparse.Namespace) -> int:
    """Make clips, then run the commands audit, train, report, export and infer on them."""
    from avel_tf.datasets import load_dataset
    from avel_tf.events.result import read_results
    from avel_tf.reports.results_report import write_results_report
    from avel_tf.reports.timeline_picture import write_timeline_picture
    from avel_tf.synthesis.dataset import SynthesisSettings, make_dataset

    began = time.monotonic()
    out = options.out
    _prepare(out)
    print(f"Making {TRAIN_CLIPS + VALIDATION_CLIPS + TEST_CLIPS} clips in {out / 'clips'} ...")
    clips = make_dataset(
        out / "clips",
        train=TRAIN_CLIPS,
        validation=VALIDATION_CLIPS,
        test=TEST_CLIPS,
        seed=SEED,
        settings=SynthesisSettings(
            frame_rate=FRAME_RATE, object_height=OBJECT_HEIGHT, preset="ultrafast"
        ),
    )
    config = out / "demo.yaml"
    config.write_text(CONFIGURATION, encoding="utf-8")
    model = out / "saved_models" / "demo"
    codes = [
        # Clips that were just written are not damaged.
        _command("audit", clips, "--quick", "--out", out / "audit.html"),
        _command("train", clips, "--out", out / "run", "--config", config),
        _command("report", out / "run"),
        _command("export", out / "run", "--out", model),
        _command("infer", clips / "videos" / "test", "--model", model, "--out", out / "results"),
    ]
    reference = {
        str(video.path): [(each.label, each.start, each.end) for each in video.annotations]
        for video in load_dataset(clips).split("test")
    }
    page = write_results_report(
        out / "results", out=out / "index.html", reference=reference, title="avel demo"
    )
    shown = next(
        (result for result in read_results(out / "results" / "results.jsonl") if result.events),
        None,
    )
    if shown:
        true = reference.get(str(Path(shown.video).resolve()))
        write_timeline_picture(shown, out / "picture.png", reference=true)
    print(
        f"\nDone in {time.monotonic() - began:.0f} s. The clips are synthetic, so the "
        "accuracy does not predict accuracy on real video.\n"
        f"Results of the test clips: {page.resolve()}\n"
        f"Training report: {(out / 'run' / 'report.html').resolve()}"
    )
    return max(codes)


def _prepare(out: Path) -> None:
    """Empties the folder of an earlier demo; refuses any other folder."""
    foreign = out.exists() and (not out.is_dir() or any(out.iterdir()))
    if foreign and not (out / MARKER).is_file():
        raise ValueError(f"{out} exists and was not made by avel demo. Choose another --out.")
    if out.exists():
        shutil.rmtree(out)
    out.mkdir(parents=True)
    (out / MARKER).write_text("Made by avel demo, which may remove this folder.\n", "utf-8")


def _command(name: str, *arguments: str | Path) -> int:
    """Runs one command in this process, after printing it."""
    words = [str(argument) for argument in arguments]
    print(f"\n$ avel {name} {shlex.join(words)}", flush=True)
    options = command_parser(name).parse_args(words)
    return options.run(options)
