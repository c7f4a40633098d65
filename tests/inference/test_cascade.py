"""A small model that screens for a large one: `avel infer --screen`, `avel screen`, `Localizer`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import avel_tf
from avel_tf.cli.main import main
from avel_tf.config import load_config
from avel_tf.engines.engine import Engine
from avel_tf.events.result import Result, read_results
from avel_tf.features.settings import DataSettings
from avel_tf.inference.cascade import CascadePipeline, choose
from avel_tf.inference.localizer import Localizer
from avel_tf.inference.screen_fit import fit_screen
from avel_tf.inference.settings import ScreenSettings
from tests.conftest import FLOAT32
from tests.video.films import tone, write_film

NAME = "tiny/1+tiny/1"
ENGINE = ("--set", "engine.name=tensorflow", "--set", "engine.precision=float32")


@pytest.fixture(scope="module")
def videos(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Four clips, a film of 15 s, one without audio, an empty file and a name without a file."""
    folder = tmp_path_factory.mktemp("videos")
    write_film(folder / "long.mp4", seconds=15, rate=4, sound=tone(15, 48_000))
    write_film(folder / "silent.mp4", seconds=2, rate=8)
    (folder / "empty.mp4").touch()
    found = sorted(map(str, clips.glob("videos/**/*.mp4")))[:4]
    return [found[0], *(str(folder / name) for name in ("long.mp4", "empty.mp4", "absent.mp4"))] + [
        str(folder / "silent.mp4"),
        *found[1:],
    ]


@pytest.fixture(scope="module")
def localizer(exported: Path, engine: Engine) -> Localizer:
    """The tiny model with itself as its screen; `screened` sets the margin."""
    localizer = avel_tf.load(exported, screen=exported, engine=FLOAT32)
    localizer._pipeline.screen._engine = engine
    return localizer


def screened(
    localizer: Localizer, margin: float, context: int = 0, *, workers: int = 2
) -> Localizer:
    """The localizer with other settings, so that the networks are loaded once."""
    cascade = localizer._pipeline
    assert isinstance(cascade, CascadePipeline)
    cascade.settings = ScreenSettings(margin=margin, context_seconds=context)
    cascade.data = cascade.screen.data = DataSettings(workers=workers)
    return localizer


@pytest.fixture(scope="module")
def alone(exported: Path, engine: Engine, videos: list[str]) -> list[Result]:
    """Results of the large model alone."""
    localizer = avel_tf.load(exported, engine=FLOAT32)
    localizer._pipeline._engine = engine
    return list(localizer.localize(videos))


@pytest.fixture(scope="module")
def backgrounds(localizer: Localizer, videos: list[str]) -> dict[str, np.ndarray]:
    """Probability of background of each segment."""
    found = localizer._pipeline.screen.predict_files(videos)
    return {videos[index]: each.probabilities[:, -1] for index, each in found}


@pytest.fixture(scope="module")
def middle(backgrounds: dict[str, np.ndarray]) -> float:
    """A margin that half of the segments exceed, with a gap to the nearest probability."""
    every = np.sort(np.concatenate(list(backgrounds.values())))
    half = len(every) // 2
    return float(every[half - 1] + every[half]) / 2


@pytest.mark.slow
def test_a_margin_of_one_gives_the_results_of_the_large_model(localizer, videos, alone):
    found = list(screened(localizer, margin=1.0).localize(videos))
    assert [each.model for each in found] == [NAME] * len(videos)
    assert [replace(each, model="tiny/1").to_json() for each in found] == [
        each.to_json() for each in alone
    ]


@pytest.mark.slow
def test_a_margin_of_zero_makes_everything_background(localizer, videos, alone, backgrounds):
    found = list(screened(localizer, margin=0.0).localize(videos))
    for result, other in zip(found, alone, strict=True):
        assert (result.status, result.reason) == (other.status, other.reason)
        assert not result.events
        assert {each.label for each in result.seconds} <= {"background"}
        scores = [each.score for each in result.seconds]
        expected = [backgrounds[result.video][int(each.start)] for each in other.seconds]
        np.testing.assert_allclose(scores, expected, atol=1e-6)


@pytest.mark.parametrize("context", [0, 3])
def test_the_large_model_embeds_what_is_chosen(
    localizer, videos, backgrounds, middle, context, monkeypatch
):
    screened(localizer, middle, context)
    list(localizer.localize(videos[2:3]))  # loads the engines
    large = localizer._pipeline._loaded_engine([])
    embedded = []
    embed = type(large).embed

    def spy(engine, stream):
        for batch, visual, audio in embed(engine, stream):
            if engine is large:
                embedded.append(len(batch.valid))
            yield batch, visual, audio

    monkeypatch.setattr(type(large), "embed", spy)
    found = list(localizer.localize(videos))
    settings = ScreenSettings(margin=middle, context_seconds=context)
    chosen = {path: choose(each, settings) for path, each in backgrounds.items()}
    assert 0 < sum(embedded) == sum(each.sum() for each in chosen.values())
    assert sum(embedded) < sum(map(len, chosen.values()))
    for result in found:
        for second in result.seconds:
            if not chosen[result.video][int(second.start)]:
                assert second.label == "background"


@pytest.mark.slow
def test_a_result_depends_on_its_file_alone(localizer, videos, middle):
    together = list(screened(localizer, middle, 1).localize(videos))
    reverse = list(screened(localizer, middle, 1, workers=1).localize(videos[::-1]))
    assert [each.to_json() for each in together] == [each.to_json() for each in reverse[::-1]]
    # One of each kind; the others are clips as the first is.
    assert [localizer.localize(path).to_json() for path in videos[:5]] == [
        each.to_json() for each in together[:5]
    ]


def test_results_are_those_that_the_fit_computes_from_features(localizer, videos, middle):
    """The fit masks features that it has; the run never embeds them."""
    cascade = screened(localizer, middle, 1)._pipeline
    assert isinstance(cascade, CascadePipeline)
    path = videos[1]
    ((_, found),) = cascade.predict_files([path])
    features = []
    ((_, whole),) = list(
        super(CascadePipeline, cascade).predict_files(
            [path], on_batch=lambda _, each: features.append(each)
        )
    )
    joined = replace(
        features[0],
        visual=np.concatenate([each.visual for each in features]),
        audio=np.concatenate([each.audio for each in features]),
        valid=whole.valid,
    )
    background = whole.probabilities[:, -1]  # the same model screens
    chosen = choose(background, cascade.settings)
    assert chosen.any() and not chosen.all()
    expected = cascade.label_chosen(joined, chosen, background)
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-5)


@pytest.mark.slow
def test_a_file_that_changes_after_its_screening_is_labelled_by_the_large_model(
    localizer, videos, alone, monkeypatch
):
    cascade = screened(localizer, margin=1.0)._pipeline
    whole = cascade.screen.predict_files

    def shorter(*arguments, **options):
        for index, each in whole(*arguments, **options):
            yield index, each._replace(probabilities=each.probabilities[:-1])

    monkeypatch.setattr(cascade.screen, "predict_files", shorter)
    found = [localizer.localize(videos[place]) for place in (0, 1)]
    assert [replace(each, model="tiny/1") for each in found] == alone[:2]


def test_arrays_are_labelled_by_the_large_model(localizer):
    clip = np.zeros((3, 2, 32, 32, 3), np.uint8), None
    found = screened(localizer, margin=0.0).localize(clip)
    assert found == screened(localizer, margin=1.0).localize(clip) and len(found.seconds) == 3


@pytest.mark.slow
def test_the_fit_keeps_the_labels_that_are_asked_for(localizer, videos, alone):
    fit = fit_screen(localizer._pipeline, videos, target=0.9)
    assert fit.files == 6 and fit.segments == sum(len(each.seconds) for each in alone)
    assert fit.best.equal >= 0.9
    shares = [point.large for point in fit.curve]
    assert shares == sorted(shares)
    equals = [point.equal for point in fit.curve]
    assert equals == sorted(equals) and equals[-1] == 1.0
    assert fit_screen(localizer._pipeline, videos[:2], target=1.0).best.equal == 1.0
    # The share is that of a run.
    settings = fit.best.settings
    screened(localizer, settings.margin, settings.context_seconds)
    found = list(localizer.localize(videos))
    pairs = [
        (a.label, b.label)
        for one, other in zip(found, alone, strict=True)
        for a, b in zip(one.seconds, other.seconds, strict=True)
    ]
    assert np.mean([a == b for a, b in pairs]) == pytest.approx(fit.best.equal)


@pytest.mark.slow
@pytest.mark.usefixtures("one_engine")
def test_the_command_writes_settings_for_the_next_one(exported, clips, tmp_path, capsys):
    out = tmp_path / "screen.yaml"
    models = ["--model", str(exported), "--screen", str(exported), *ENGINE]
    code = main(["screen", str(clips), "--split", "validation", *models, "--out", str(out)])
    output = capsys.readouterr().out
    assert code == 0, output
    assert "12 segments of 3 files" in output and "Chosen: margin" in output
    settings = load_config(out).screen
    results = tmp_path / "results"
    infer = ["infer", str(clips / "videos" / "validation"), *models, "--out", str(results)]
    assert main([*infer, "--config", str(out)]) == 0
    assert "Engine of the screen: tensorflow float32" in capsys.readouterr().out
    found = list(read_results(results / "results.jsonl"))
    assert len(found) == 3 and {each.model for each in found} == {NAME}
    first = (results / "ledger.jsonl").read_text().splitlines()[0]
    setup = json.loads(first)["setup"]
    assert setup["screen"] == "tiny/1" and setup["screen.margin"] == settings.margin
    # Repeated, it does nothing; with another margin, without the screen or its opposite, it stops.
    assert main([*infer, "--config", str(out)]) == 0
    assert "3 of them done before" in capsys.readouterr().out
    assert main([*infer, "--set", "screen.margin=0.25"]) == 1
    assert "screen.margin" in capsys.readouterr().err
    without = [word for word in infer if word not in ("--screen",)]
    without.remove(str(exported))
    assert main(without) == 1
    assert "screen 'tiny/1', now None" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.usefixtures("one_engine")
def test_a_run_without_a_screen_has_no_settings_of_one(exported, clips, tmp_path):
    video = str(sorted(clips.glob("videos/**/*.mp4"))[0])
    words = ["infer", video, "--model", str(exported), *ENGINE, "--out", str(tmp_path / "out")]
    assert main([*words, "--formats", "jsonl"]) == 0
    first = (tmp_path / "out" / "ledger.jsonl").read_text().splitlines()[0]
    assert "screen" not in first


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-", "--screen", "x"], "one model. Leave out --screen"),
        (["a.mp4", "--screen", "x", "--ray", "local"], "Leave out --ray"),
    ],
)
def test_refusals(words, message, exported, tmp_path, capsys):
    code = main(["infer", *words, "--model", str(exported), "--out", str(tmp_path / "out")])
    assert code == 1 and message in capsys.readouterr().err


def test_an_impossible_share_is_refused(localizer, videos):
    with pytest.raises(ValueError, match="share of equal labels"):
        fit_screen(localizer._pipeline, videos, target=1.5)
    with pytest.raises(ValueError, match="None of the 1 files"):
        fit_screen(localizer._pipeline, videos[2:3])
