"""An exported model at work on files."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
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
from avel_tf.export.manifest import ModelError, find_version
from avel_tf.features.features import Features, embed_parts
from avel_tf.features.settings import DataSettings
from avel_tf.inference.inputs import find_inputs
from avel_tf.inference.settings import InferenceSettings
from avel_tf.pretrained import find_converted, find_pretrained
from avel_tf.video.decode import DecodeSettings
from avel_tf.video.segment_loader import DecodeStatus, SegmentLoader

NO_SOUND = "no audio track: silence was assumed"

__all__ = ["Localizer", "ModelError", "find_version", "load"]


class Localizer:
    """Labels every second of video files.

    Args:
        model: An exported model, or its folder as `ExportedModel` takes it.
        inference: Windows and batches.
        data: Files decoded side by side.
        media: Limits of the decoder.
        engine: By what the networks are run.

    Attributes:
        model: The exported model.
        name: Name of the model in results: name of its folder and version.
        labels: The classes.
        recipe: How the model wants features to be made.
        postprocessing: What makes events of its probabilities, which hold the temperature already.

    Raises:
        ModelError: When the folder holds no such model.

    Example:
        >>> localizer = avel_tf.load("saved_models/demo/1")
        >>> localizer.localize("dog.mp4").events
        (Event(label='Bark', start=2.0, end=7.0, score=0.93),)
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
        self.folder, self.name = self.model.folder, self.model.name
        self.labels, self.recipe = self.model.labels, self.model.recipe
        self.postprocessing = self.model.postprocessing
        self.inference = inference or InferenceSettings()
        self.data = data or DataSettings()
        self.media = media or DecodeSettings()
        self._engine_settings = engine or EngineSettings()
        self._choice: EngineChoice | None = None
        self._engine: Engine | None = None
        key = self.model.fingerprint
        self._graphs = Graphs(key, self.recipe, self.model.load_graphs, find_converted(key))

    def choose_engine(self, paths: Sequence[str]) -> EngineChoice:
        """By what the networks will be run; nothing is loaded yet if it has been chosen before.

        Args:
            paths: Files from which real pictures can be taken, should engines have to be proven.

        Raises:
            EngineUnavailableError: When this machine has not what the settings ask for.
        """
        if self._choice is None:
            self._choice = choose_engine(
                self._graphs,
                self._engine_settings,
                lambda: sample_clips(paths, self.recipe, self.media),
            )
        return self._choice

    def predict(self, visual: np.ndarray, audio: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """Probabilities from features.

        Args:
            visual: float32 [B, T, Dv].
            audio: float32 [B, T, Da].
            valid: bool [B, T]; the other seconds do not affect these.

        Returns:
            float32 [B, T, C+1], background last.
        """
        return self._made_engine([]).label(visual, audio, valid)

    def localize(self, path: str | bytes | Path) -> Result:
        """Label one file.

        Args:
            path: A video file.

        Returns:
            What became of it; a file that cannot be read gives a result that says why.
        """
        return next(self.localize_files([os.fsdecode(path)]))

    def localize_directory(self, folder: str | bytes | Path) -> Iterator[Result]:
        """Label every video file in a folder, at any depth.

        Args:
            folder: The folder.

        Yields:
            One result for each file, in the order of their paths.
        """
        yield from self.localize_files(find_inputs([os.fsdecode(folder)]))

    def localize_files(
        self, paths: Iterable[str], *, progress: Callable[[int, int], None] | None = None
    ) -> Iterator[Result]:
        """Label files; decoding of the next runs while these are embedded.

        Args:
            paths: The files.
            progress: Called after each file with how many are done, and of how many.

        Yields:
            One result for each path, in their order.
        """
        paths = list(paths)
        waiting: dict[int, Result] = {}
        given = 0
        for done, (index, result) in enumerate(self.localize_unordered(paths), start=1):
            waiting[index] = result
            if progress:
                progress(done, len(paths))
            while given in waiting:
                yield waiting.pop(given)
                given += 1

    def localize_unordered(
        self,
        paths: Sequence[str],
        *,
        on_open: Callable[[str], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> Generator[tuple[int, Result], None, None]:
        """Label files, each result as soon as it is there.

        Args:
            paths: The files.
            on_open: Called with a path before its file is touched, from the decoding threads.
            should_stop: Asked before each file; once it says yes, only those in hand are labelled.

        Yields:
            For each file its place in `paths` and its result, in the order in which they end.
        """
        engine = self._made_engine(paths)
        stream = SegmentLoader(
            [self.recipe.visual.decode_request(path, self.media) for path in paths],
            workers=self.data.resolved_workers,
            on_open=None if on_open is None else lambda index: on_open(paths[index]),
            should_stop=should_stop,
        )
        windows = WindowLabeller(
            engine.label,
            window_seconds=self.inference.window_seconds,
            hop_seconds=self.inference.hop_seconds,
            batch_size=self.inference.batch_clips,
            multi_label=self.postprocessing.multi_label,
        )
        valid: dict[int, list[np.ndarray]] = {}
        for index, part in embed_parts(stream, engine):
            if isinstance(part, Features):
                windows.add(index, part.visual, part.audio, part.valid)
                valid.setdefault(index, []).append(part.valid)
            elif part.seconds:
                scores = self.postprocessing.scores(windows.end(index))  # [T]
                seconds = np.concatenate(valid.pop(index))  # [T]
                yield index, self.result(paths[index], scores, seconds, part)
            else:
                yield index, self.refused(paths[index], part)

    def _made_engine(self, paths: Sequence[str]) -> Engine:
        if self._engine is None:
            choice = self.choose_engine(paths)
            self._engine = make_engine(choice, self._graphs, self._engine_settings)
        return self._engine

    def live_engine(self) -> Engine:
        """An engine that takes one second at a time, and has done so once to be ready.

        It is the one that was proven when files were labelled with this model on this machine, or
        else TensorFlow in float32: a proof takes longer than a stream waits.
        """
        visual = self.recipe.visual
        settings = replace(self._engine_settings, batch_pictures=visual.frames_per_second)
        engine = make_engine(self.choose_engine([]), self._graphs, settings)
        frames = np.zeros((1, visual.frames_per_second, visual.size, visual.size, 3), np.uint8)
        waveform = np.zeros((1, self.recipe.audio.sample_rate), np.float32)  # [1, 16000]
        features = engine.embed_seconds(frames, waveform)  # [1, Dv], [1, Da]
        engine.label(features[0][None], features[1][None], np.ones((1, 1), bool))
        return engine

    def refused(self, path: str, outcome: DecodeStatus) -> Result:
        """Result of a file that gave no segment."""
        return Result(
            path,
            "quarantined",
            outcome.error or "the file holds no second of video",
            duration=outcome.duration,
            model=self.name,
        )

    def result(self, path: str, scores: Scores, valid: np.ndarray, outcome: DecodeStatus) -> Result:
        """Result of a file from its segments: scores [T] and valid bool [T]."""
        if not valid.any():
            return self.refused(path, outcome)
        label_index = scores.label_index(self.labels.background)  # [T]
        assumed = [*([] if outcome.has_sound else [NO_SOUND]), *filter(None, [outcome.remark])]
        reason = "; ".join(assumed) or None
        if outcome.problem and outcome.remark:
            reason = f"{outcome.problem} {outcome.remark[0].upper()}{outcome.remark[1:]}."
        elif outcome.problem:
            reason = outcome.problem
        return Result(
            path,
            "partial" if outcome.problem else "ok",
            reason,
            duration=outcome.duration,
            seconds=labelled_seconds(
                label_index,
                scores.score,
                self.labels,
                valid,
                duration=outcome.duration,
                label_scores=scores.label_scores,
            ),
            events=self.postprocessing.events.decode(
                scores, self.labels, valid, duration=outcome.duration
            ),
            model=self.name,
            audio_track=outcome.audio_track,
        )


def load(folder: str | Path | None = None) -> Localizer:
    """Load an exported model.

    Args:
        folder: As in `saved_models/demo/1`, or `saved_models/demo` for its latest version; `None`
            takes the model that comes with avel-tf (see `avel_tf.pretrained.describe`).

    Returns:
        The localizer.

    Raises:
        ModelError: When the folder holds no model that avel-tf exported, or no folder is named and
            this copy has no model of its own.
    """
    return Localizer(find_pretrained() if folder is None else folder)
