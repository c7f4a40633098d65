"""Accuracy of the pretrained model before and after corrections of real clips.

    python benchmarks/teaching.py FOLDER... [--corrections 10,20,40] [--draws 3] [--work DIR]

FOLDER is as of benchmarks/zero_shot.py. Of the clips whose event has a class, some are corrected at
random, one event each, as `avel serve` keeps them; the next model is trained by
`avel_tf.serving.teaching`, and present and next model label all other clips. The present model
offers every class of the table that a clip has, so that it is not merely short of names. Accuracy
is per second, with background for seconds outside the event; intervals are 95 % of a paired
bootstrap over the clips that are not corrected. `--work` keeps the features for further runs.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from zero_shot import annotated, look_up

CORRECTIONS = (10, 20, 40)


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory() as temporary:
        run(options, Path(options.work or temporary))


def run(options: argparse.Namespace, work: Path) -> None:
    import avel_tf
    from avel_tf.export.exported_model import ExportedModel
    from avel_tf.inference.pipeline import InferencePipeline
    from avel_tf.pretrained import find_pretrained
    from avel_tf.serving.analysis import Analysis, AnalysisWriter
    from avel_tf.serving.annotations import Annotation
    from avel_tf.serving.teaching import (
        EPOCHS,
        exchanged_stretches,
        measure,
        stretches_of,
        write_store,
    )
    from avel_tf.vocabulary.class_table import ClassTable

    table, model = ClassTable.load(), ExportedModel(find_pretrained())
    pipeline = InferencePipeline(model)
    work.mkdir(parents=True, exist_ok=True)
    clips = []
    for number, (path, label, start, end) in enumerate(
        clip for folder in options.folders for clip in annotated(folder)
    ):
        file = work / f"{number}.npz"
        if not file.exists():
            writer = AnalysisWriter(pipeline, lambda seconds: None)
            ((_, result),) = pipeline.label_files([str(path)], observer=writer)
            assert result.seconds, result.reason
            writer.save(file)
        analysis = Analysis(file)
        end = min(end, float(len(analysis.array("valid"))))
        thing = look_up(table, label)
        name = table.names[thing] if thing >= 0 else label
        row = Annotation("a", name, start, end, None, "added")
        clips.append((str(number), analysis, [row]))
    offered = sorted({row.label for *_, (row,) in clips} & set(model.labels.names))
    print(f"{len(clips)} clips, {len({row.label for *_, (row,) in clips})} classes")
    print("corrections  draw  classes  held out (s)  present  next  difference [95 % interval]")
    for count in options.corrections:
        differences = []
        for draw in range(options.draws):
            order = np.random.default_rng(draw).permutation(len(clips))
            corrected, left = order[:count], order[count:]
            taught = sorted({clips[n][2][0].label for n in corrected})
            folder = work / f"run-{count}-{draw}"
            if not folder.exists():
                stretches = [s for n in corrected for s in stretches_of(*clips[n], taught)]
                examples = [*stretches, *exchanged_stretches(stretches)]
                write_store(folder / "features", model, taught, examples)
                avel_tf.train(folder / "features", folder / "run", {"training.epochs": EPOCHS})
            tested = [s for n in left for s in stretches_of(*clips[n], [clips[n][2][0].label])]
            store = avel_tf.FeatureStore(folder / "features")
            trained = avel_tf.Run(folder / "run", features=store)
            found = measure(tested, trained, model, model, offered, taught)
            difference = found["difference"]
            differences.append(difference["mean"])
            print(
                f"{count:11}  {draw:4}  {len(taught):7}  {found['held_out']['seconds']:12}  "
                f"{found['present']['accuracy']:7.3f}  {found['next']['accuracy']:.3f}  "
                f"{difference['mean']:+.3f} [{difference['low']:+.3f}, {difference['high']:+.3f}]",
                flush=True,
            )
        print(f"{count:11}  mean of {options.draws} draws: {np.mean(differences):+.3f}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument(
        "--corrections",
        type=lambda text: [*map(int, text.split(","))],
        default=list(CORRECTIONS),
    )
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--work", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
