"""Decoding, backbones, localizer and postprocessing of one exported model."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from avel_tf.engines.engine import Engine, Graphs
from avel_tf.engines.selection import EngineChoice, choose_engine, make_engine, sample_clips
from avel_tf.engines.settings import EngineSettings
from avel_tf.engines.windows import WindowLabeller
from avel_tf.events.result import Result, labelled_seconds
from avel_tf.events.segment_scores import Scores
from avel_tf.export.exported_model import ExportedModel
from avel_tf.features.features import Features, embed_parts
from avel_tf.features.settings import DataSettings
from avel_tf.inference.settings import InferenceSettings
from avel_tf.pretrained import find_converted
from avel_tf.video.decode import DecodeSettings
from avel_tf.video.segment_loader import DecodeStatus, SegmentLoader

NO_SOUND = "no audio track: silence was assumed"


class InferencePipeline:
    """Runs an exported model on files, arrays and features.

    `Localizer` is the interface for users; batch runs, live streams and evaluation use this class.

    Args:
        model: An exported model, or its folder.
        inference: Windows and batches.
        data: Number of files decoded at the same time.
        media: Limits of the decoder.
        engine: Engine and precision of the networks.

    Attributes:
        model: The exported model.

    Raises:
        ModelError: The folder holds no exported model.
    """

    def __init__(
        self,
        model: str | Path | ExportedModel,
        *,
        inference: InferenceSettings | None = None,
        data: DataSettings | None = None,
        media: DecodeSettings | None = None,
        engine: EngineSettings | None = None,
    ) -> None:
        self.model = model if isinstance(model, ExportedModel) else ExportedModel(model)
        self.inference = inference or InferenceSettings()
        self.data = data or DataSettings()
        self.media = media or DecodeSettings()
        self.engine_settings = engine or EngineSettings()
        self.choice: EngineChoice | None = None
        self._engine: Engine | None = None
        recipe, key = self.model.recipe, self.model.fingerprint
        self._graphs = Graphs(key, recipe, self.model.load_graphs, find_converted(key))

    def choose_engine(self, paths: Sequence[str] = ()) -> EngineChoice:
        """Choose the engine, once. Nothing is loaded if this machine has a recorded choice.

        Args:
            paths: Files whose first frames are used to compare the engines.

        Raises:
            EngineUnavailableError: This machine does not have the engine of the settings.
        """
        if self.choice is None:
            self.choice = choose_engine(
                self._graphs,
                self.engine_settings,
                lambda: sample_clips(paths, self.model.recipe, self.media),
            )
        return self.choice

    def label_files(
        self,
        paths: Sequence[str],
        *,
        on_open: Callable[[str], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> Generator[tuple[int, Result], None, None]:
        """Label files; the next ones are decoded while one is embedded.

        Args:
            paths: The files, as `os.fsdecode` gives their names.
            on_open: Called with a path before its file is opened, from the decoding threads.
            should_stop: Called before each file; once it returns True, no further file is opened,
                and those that are open are finished.

        Yields:
            The index of a file in `paths` and its result, in the order in which files finish.
        """
        engine = self._loaded_engine(paths)
        stream = SegmentLoader(
            [self.model.recipe.visual.decode_request(path, self.media) for path in paths],
            workers=self.data.resolved_workers,
            on_open=None if on_open is None else lambda index: on_open(paths[index]),
            should_stop=should_stop,
        )
        windows = self._windows(engine)
        valid: dict[int, list[np.ndarray]] = {}
        for index, part in embed_parts(stream, engine):
            if isinstance(part, Features):
                windows.add(index, part.visual, part.audio, part.valid)
                valid.setdefault(index, []).append(part.valid)
            elif part.seconds:
                scores = self.model.postprocessing.scores(windows.end(index))  # [T]
                seconds = np.concatenate(valid.pop(index))  # [T]
                yield index, self.result(paths[index], scores, seconds, part)
            else:
                yield index, self.refusal(paths[index], part)

    def label_arrays(
        self, frames: np.ndarray, waveform: np.ndarray, *, name: str, has_sound: bool
    ) -> Result:
        """Label a decoded clip.

        Args:
            frames: uint8 [T, F, H, W, 3], with F, H and W of the model's recipe.
            waveform: float32 [T, 16000].
            name: `video` of the result.
            has_sound: False if the waveform is silence in place of missing audio.
        """
        engine = self._loaded_engine([])
        windows = self._windows(engine)
        for start in range(0, len(frames), engine.batch_seconds):
            part = slice(start, start + engine.batch_seconds)
            visual, audio = engine.embed_seconds(frames[part], waveform[part])  # [n, Dv], [n, Da]
            windows.add(0, visual, audio, np.ones(len(visual), bool))
        scores = self.model.postprocessing.scores(windows.end(0))  # [T]
        status = DecodeStatus(len(frames), float(len(frames)), has_sound)
        return self.result(name, scores, np.ones(len(frames), bool), status)

    def label_features(
        self, visual: np.ndarray, audio: np.ndarray, valid: np.ndarray
    ) -> np.ndarray:
        """Compute probabilities from features.

        Args:
            visual: float32 [B, T, Dv].
            audio: float32 [B, T, Da].
            valid: bool [B, T]; other segments do not affect these.

        Returns:
            float32 [B, T, C+1], background last.
        """
        return self._loaded_engine([]).label(visual, audio, valid)

    def live_engine(self) -> Engine:
        """Load an engine for one segment at a time and warm it up.

        It is the engine recorded for this model on this machine, else TensorFlow in float32,
        because comparing engines takes longer than a live stream can wait.
        """
        visual = self.model.recipe.visual
        settings = replace(self.engine_settings, batch_pictures=visual.frames_per_second)
        engine = make_engine(self.choose_engine(), self._graphs, settings)
        frames = np.zeros((1, visual.frames_per_second, visual.size, visual.size, 3), np.uint8)
        waveform = np.zeros((1, self.model.recipe.audio.sample_rate), np.float32)  # [1, 16000]
        features = engine.embed_seconds(frames, waveform)  # [1, Dv], [1, Da]
        engine.label(features[0][None], features[1][None], np.ones((1, 1), bool))
        return engine

    def refusal(self, path: str, status: DecodeStatus) -> Result:
        """Result of a file without a decodable segment."""
        return Result(
            path,
            "quarantined",
            status.error or "the file holds no second of video",
            duration=status.duration,
            model=self.model.name,
        )

    def result(self, path: str, scores: Scores, valid: np.ndarray, status: DecodeStatus) -> Result:
        """Result of a file from its segments: scores [T] and valid bool [T]."""
        if not valid.any():
            return self.refusal(path, status)
        labels = self.model.labels
        return Result(
            path,
            "partial" if status.problem else "ok",
            _reason(status),
            duration=status.duration,
            seconds=labelled_seconds(
                scores.label_index(labels.background),  # [T]
                scores.score,
                labels,
                valid,
                duration=status.duration,
                label_scores=scores.label_scores,
            ),
            events=self.model.postprocessing.events.decode(
                scores, labels, valid, duration=status.duration
            ),
            model=self.model.name,
            audio_track=status.audio_track,
        )

    def _loaded_engine(self, paths: Sequence[str]) -> Engine:
        if self._engine is None:
            choice = self.choose_engine(paths)
            self._engine = make_engine(choice, self._graphs, self.engine_settings)
        return self._engine

    def _windows(self, engine: Engine) -> WindowLabeller:
        return WindowLabeller(
            engine.label,
            window_seconds=self.inference.window_seconds,
            hop_seconds=self.inference.hop_seconds,
            batch_size=self.inference.batch_clips,
            multi_label=self.model.postprocessing.multi_label,
        )


def _reason(status: DecodeStatus) -> str | None:
    if status.problem and status.remark:
        return f"{status.problem} {status.remark[0].upper()}{status.remark[1:]}."
    if status.problem:
        return status.problem
    assumed = [*([] if status.has_sound else [NO_SOUND]), *filter(None, [status.remark])]
    return "; ".join(assumed) or None
