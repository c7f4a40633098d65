"""The public names of avel_tf: imported lazily, with messages for wrong arguments."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import avel_tf
from avel_tf.events.event import Event
from avel_tf.events.result import Result, Segment
from avel_tf.inference.arrays import prepare_clip
from avel_tf.video.decode import decode_clip
from tests.conftest import FLOAT32

FRAMES = np.zeros((2, 3, 40, 60, 3), np.uint8)
WAVEFORM = np.zeros(32_000, np.float32)


@pytest.fixture(scope="module")
def localizer(exported: Path) -> avel_tf.Localizer:
    return avel_tf.load(exported, engine=FLOAT32)


@pytest.fixture(scope="module")
def videos(clips: Path) -> list[Path]:
    return sorted(clips.glob("videos/**/*.mp4"))[:3]


def test_import_loads_neither_tensorflow_nor_opencv() -> None:
    code = (
        "import sys, avel_tf; avel_tf.Result, avel_tf.load_dataset, dir(avel_tf)"
        "; sys.exit(any(name in sys.modules for name in ('tensorflow', 'keras', 'cv2')))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


def test_every_public_name_is_there_with_a_docstring() -> None:
    assert dir(avel_tf) == sorted(avel_tf.__all__)
    for name in avel_tf.__all__:
        found = getattr(avel_tf, name)
        assert name == "__version__" or found.__doc__, name


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(AttributeError, match="no attribute 'laod'.*Did you mean 'load'"):
        _ = avel_tf.laod


def test_arrays_have_the_result_of_their_file(
    localizer: avel_tf.Localizer, videos: list[Path]
) -> None:
    visual = localizer.recipe.visual
    clip = decode_clip(
        videos[0], frames_per_second=visual.frames_per_second, size=(visual.size, visual.size)
    )
    found = localizer.localize((clip.frames, clip.waveform))
    expected = localizer.localize(videos[0])
    assert found.video == "(arrays)" and found.status == "ok" and found.model == expected.model
    assert [each.label for each in found.seconds] == [each.label for each in expected.seconds]
    scores = [[each.score for each in result.seconds] for result in (found, expected)]
    np.testing.assert_allclose(*scores, atol=1e-5)


def test_frames_are_sampled_and_resized_as_the_decoder_does(
    localizer: avel_tf.Localizer, videos: list[Path]
) -> None:
    visual = localizer.recipe.visual
    size = (visual.size, visual.size)
    expected = decode_clip(videos[0], frames_per_second=visual.frames_per_second, size=size)
    stored = decode_clip(videos[0], frames_per_second=8, size=(72, 96))  # all frames of the file
    frames, sound = prepare_clip(stored.frames, stored.waveform[:-100], visual)
    assert frames.shape == expected.frames.shape and sound.shape == (4, 16_000)
    difference = np.abs(frames.astype(int) - expected.frames)
    assert difference.mean() < 2  # the colours are converted before the resize, not with it


def test_an_iterable_may_mix_paths_and_arrays(
    localizer: avel_tf.Localizer, videos: list[Path]
) -> None:
    def items() -> Iterator[object]:
        yield from (videos[0], (FRAMES, None), str(videos[1]), b"missing.mp4")

    found = list(localizer.localize(items()))
    assert [each.video for each in found] == [
        *(str(videos[0]), "(arrays)", str(videos[1]), "missing.mp4")
    ]
    assert [each.status for each in found] == ["ok", "ok", "ok", "quarantined"]
    assert found[1].reason == "no audio track: silence was assumed"
    assert list(localizer.localize(list(items())))[0] == found[0]
    assert list(localizer.localize([])) == []


@pytest.mark.parametrize(
    ("video", "error", "message"),
    [
        (".", ValueError, "is a folder.*localize_directory"),
        (7, TypeError, "takes the path of a video file.*Received: 7"),
        (None, TypeError, "Received: None"),
        (FRAMES, TypeError, r"a pair \(frames, waveform\).*shape \(2, 3, 40, 60, 3\)"),
        ([7], TypeError, "Received: an item 7"),
        ((FRAMES.astype("float32"), WAVEFORM), TypeError, r"uint8.*float32.*\* 255"),
        ((FRAMES[0, 0], WAVEFORM), ValueError, r"\[T, F, H, W, 3\].*\(40, 60, 3\)"),
        ((FRAMES.transpose(0, 1, 4, 2, 3), WAVEFORM), ValueError, "Move the channels"),
        ((FRAMES[:0], WAVEFORM[:0]), ValueError, r"Received: shape \(0,"),
        ((FRAMES, WAVEFORM.astype("int16")), TypeError, r"int16.*32768"),
        ((FRAMES, WAVEFORM[None]), ValueError, r"shape \(1, 32000\)"),
        ((FRAMES, WAVEFORM[:10_000]), ValueError, "32000 samples are expected.*10000 samples"),
        ((FRAMES, np.zeros(88_200, "float32")), ValueError, "Resample the audio to 16000 Hz"),
        ((FRAMES, WAVEFORM + np.nan), ValueError, "NaN or infinite"),
        ((FRAMES, WAVEFORM + 2_000), ValueError, "magnitude 2000.*32768"),
    ],
)
def test_wrong_arguments_are_refused(
    localizer: avel_tf.Localizer, video: object, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        for _ in localizer.localize(video):
            pass


def test_a_missing_folder_is_refused(localizer: avel_tf.Localizer, videos: list[Path]) -> None:
    for path in ("absent", videos[0]):
        with pytest.raises(ValueError, match="no folder"):
            localizer.localize_directory(path)


def test_objects_show_what_they_are(
    localizer: avel_tf.Localizer, clips: Path, run_folder: Path, store: avel_tf.FeatureStore
) -> None:
    assert repr(localizer).startswith("<Localizer 'tiny/1': 3 classes, engine tensorflow")
    shown = repr(avel_tf.load_dataset(clips))
    assert "7 train, 3 validation, 4 test; 3 classes" in shown
    assert "3 classes, 2 epochs, segment_accuracy=" in repr(avel_tf.Run(run_folder))
    assert "7 train, 3 validation, 4 test; 3 classes" in repr(store)
    result = Result("a.mp4", "ok", None, 2.0, (), (Event("Bark", 0, 1.5, 0.9),))
    assert repr(result) == "<Result 'a.mp4': ok; 0 segments; Bark 0-1.5 s>"
    assert "quarantined: it is empty" in repr(Result("a.mp4", "quarantined", "it is empty"))


def test_the_pretrained_model_has_a_name() -> None:
    named = avel_tf.load("pretrained")
    assert named.name == "pretrained/2" == avel_tf.load().name
    assert len(named.labels) > 1


def test_a_result_becomes_a_table() -> None:
    pandas = pytest.importorskip("pandas")
    segments = (Segment(0, 1, "Bark", 0.5), Segment(1, 2, "background", 0.75))
    result = Result("a.mp4", "ok", None, 2.0, segments, (Event("Bark", 0, 1, 0.5),))
    table = result.to_dataframe()
    assert isinstance(table, pandas.DataFrame) and list(table.label) == ["Bark", "background"]
    assert result.to_dataframe("events").to_dict("records") == [
        {"video": "a.mp4", "start": 0.0, "end": 1.0, "label": "Bark", "score": 0.5}
    ]
    assert len(Result("a.mp4", "ok").to_dataframe("events")) == 0
    with pytest.raises(ValueError, match="'segments' or 'events'.*Did you mean 'events'"):
        result.to_dataframe("event")


def test_without_pandas_a_message_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        Result("a.mp4", "ok").to_dataframe()


def test_a_run_is_evaluated_on_its_features(
    run_folder: Path, exported: Path, store: avel_tf.FeatureStore
) -> None:
    run = avel_tf.Run(run_folder)
    assert len(run.history) == 2 and run.config.training.epochs == 2
    with pytest.raises(ValueError, match="does not contain the features.*run.evaluate"):
        run.evaluate()
    run = avel_tf.Run(run_folder, features=store)
    found = run.evaluate(against=exported)
    assert found.metrics["segment_accuracy"] == run.metrics["segment_accuracy"]
    assert found.metrics["against"]["clips"] == 4
    assert "segment_accuracy=" in repr(found)
    assert run.evaluate(split="validation").metrics["videos"] == 3


def test_settings_are_given_in_several_ways(tmp_path: Path) -> None:
    from avel_tf.config import resolve_config

    assert resolve_config(None) == avel_tf.Config()
    (tmp_path / "a.yaml").write_text("training:\n  epochs: 7\n")
    for config in (
        {"training.epochs": 7},
        {"training": {"epochs": 7}},
        ["training.epochs=7"],
        tmp_path / "a.yaml",
    ):
        assert resolve_config(config).training.epochs == 7
    based = resolve_config({"training.learning_rate": 1e-5}, tmp_path / "a.yaml")
    assert (based.training.epochs, based.training.learning_rate) == (7, 1e-5)
    with pytest.raises(ValueError, match="training.epoch. Did you mean 'epochs'"):
        resolve_config({"training.epoch": 7})


def test_extraction_refuses_features_and_data_without_videos(
    store: avel_tf.FeatureStore, tmp_path: Path
) -> None:
    for given in (store, store.folder):
        with pytest.raises(ValueError, match="is a feature store already"):
            avel_tf.extract(given, tmp_path / "features")
    (tmp_path / "annotations.csv").write_text("video,label,start,end\nabsent.mp4,Bark,0,1\n")
    compact = {f"embeddings.{each}.module": "compact" for each in ("visual", "audio")}
    with pytest.raises(ValueError, match="No video of .* could be read. The first reason"):
        avel_tf.extract(tmp_path / "annotations.csv", tmp_path / "features", compact)
