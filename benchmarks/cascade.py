"""Equal labels and processor time of a cascade, against its large model alone.

    python benchmarks/cascade.py LARGE SMALL PATH... [--screen 0.99,2 0.9,0] [--rounds 3]
    python benchmarks/cascade.py --films DIR                    # writes films with 10 % events

LARGE and SMALL are exported models. The runs of a round follow each other, so that each meets the
same load of the machine; the minimum over the rounds is printed. The engines are loaded and warm.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from measuring import timed

FILM_SECONDS, SLOT_SECONDS, EVENT_SECONDS = 120, 30, 6


def compare(options: argparse.Namespace) -> None:
    """Print a table row for the large model and for each cascade."""
    import avel_tf
    from avel_tf.inference.inputs import require_inputs

    paths = require_inputs(options.paths)
    engine = avel_tf.EngineSettings(options.engine, options.precision)
    rows = {"large alone": avel_tf.load(options.large, engine=engine)}
    for words in options.screen:
        margin, context = words.split(",")
        screening = avel_tf.ScreenSettings(margin=float(margin), context_seconds=int(context))
        rows[f"margin {margin}, context {context} s"] = avel_tf.load(
            options.large, screen=options.small, screening=screening, engine=engine
        )
    for localizer in rows.values():
        localizer.localize(options.warm or paths[0])
    costs: dict[str, list[float]] = {name: [] for name in rows}
    labels: dict[str, list[str]] = {}
    for _ in range(options.rounds):
        for name, localizer in rows.items():
            results: list = []
            _, processor = timed(lambda: results.extend(localizer.localize(paths)))  # noqa: B023
            costs[name].append(processor)
            labels[name] = [second.label for result in results for second in result.seconds]
    alone = labels["large alone"]
    events = sum(label != "background" for label in alone)
    print(f"{len(paths)} files, {len(alone)} segments, {100 * events / len(alone):.1f} % events\n")
    print("| | equal labels | events kept | to the large model | processor s | times faster |")
    print("|---|---|---|---|---|---|")
    for name in rows:
        pairs = list(zip(labels[name], alone, strict=True))
        equal = sum(one == other for one, other in pairs) / len(pairs)
        kept = sum(one == other for one, other in pairs if other != "background") / max(events, 1)
        cost = min(costs[name])
        print(
            f"| {name} | {100 * equal:.2f} % | {100 * kept:.1f} % | "
            f"{100 * _share(rows[name], paths):.1f} % | {cost:.1f} | "
            f"{min(costs['large alone']) / cost:.2f} |"
        )


def _share(localizer, paths: list[str]) -> float:
    """Share of the segments that the large model embeds."""
    from avel_tf.inference.cascade import choose

    cascade = localizer._pipeline
    if cascade.screen is None:
        return 1.0
    every = [
        choose(cascade.screen.selected_probabilities(found.probabilities)[:, -1], cascade.settings)
        for _, found in cascade.screen.predict_files(paths)
    ]
    return sum(int(each.sum()) for each in every) / sum(map(len, every))


def write_films(folder: Path, count: int, seed: int) -> None:
    """Write films of two minutes with two events and two decoys of six seconds each."""
    import numpy as np

    from avel_tf.synthesis.clip_plan import ClipPlan
    from avel_tf.synthesis.dataset import SynthesisSettings, make_scene
    from avel_tf.synthesis.event_classes import valid_decoys
    from avel_tf.synthesis.writer import write_video

    settings = SynthesisSettings(width=160, height=120, frame_rate=4.0)
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        visible: list[str | None] = [None] * FILM_SECONDS
        sounding: list[str | None] = [None] * FILM_SECONDS
        for slot in range(0, FILM_SECONDS, SLOT_SECONDS):
            start = slot + int(rng.integers(0, SLOT_SECONDS - EVENT_SECONDS + 1))
            name = str(rng.choice(settings.classes))
            other = str(rng.choice(list(valid_decoys(name, settings.classes))))
            decoys = [(name, None), (None, name), (name, other), (other, name)]
            event = (slot // SLOT_SECONDS) % 2 == 1
            seen, heard = (name, name) if event else decoys[int(rng.integers(len(decoys)))]
            visible[start : start + EVENT_SECONDS] = [seen] * EVENT_SECONDS
            sounding[start : start + EVENT_SECONDS] = [heard] * EVENT_SECONDS
        plan = ClipPlan(tuple(visible), tuple(sounding))
        scene = make_scene(plan, index, settings, seed=seed)
        write_video(
            folder / f"{index:03d}.mp4",
            scene.frames(),
            scene.waveform(),
            frame_rate=settings.frame_rate,
            crf=settings.crf,
            preset=settings.preset,
            audio_bit_rate=settings.audio_bit_rate,
        )


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("large", type=Path, nargs="?")
    parser.add_argument("small", type=Path, nargs="?")
    parser.add_argument("paths", nargs="*")
    parser.add_argument("--screen", nargs="+", default=["0.99,2"], metavar="MARGIN,CONTEXT")
    parser.add_argument("--engine", default="openvino")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--warm", metavar="FILE", help="file that loads and warms the engines")
    parser.add_argument("--films", type=Path, metavar="DIR")
    parser.add_argument("--count", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.films:
        write_films(options.films, options.count, options.seed)
    else:
        compare(options)


if __name__ == "__main__":
    main()
