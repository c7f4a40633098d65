"""Decoding, backbones, localizer and postprocessing of one exported model."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from avel_tf.embeddings.settings import Reuse
from avel_tf.engines.available import EngineChoice
from avel_tf.engines.crashes import recorded_crashes
from avel_tf.engines.engine import Engine
from avel_tf.engines.fallback import FallbackEngine
from avel_tf.engines.reuse import FrameCount, differing_frames
from avel_tf.engines.sample import SampleFiles, sample_clips
from avel_tf.engines.selection import choose_engine, make_engine
from avel_tf.engines.settings import EngineSettings
from avel_tf.engines.windows import Predict, WindowLabeller
from avel_tf.events.class_selection import ClassSelection
from avel_tf.events.result import Result, labelled_seconds
from avel_tf.events.segment_scores import Scores
from avel_tf.export.exported_model import ExportedModel
from avel_tf.features.features import Features, OnBatch, embed_parts
from avel_tf.features.settings import DataSettings
from avel_tf.inference.settings import InferenceSettings
from avel_tf.pretrained.networks import stored_network
from avel_tf.video.decode import DecodeSettings
from avel_tf.video.segment_loader import DecodeStatus, SegmentBatch, SegmentLoader
from avel_tf.vocabulary.class_names import resolve_classes

NO_SOUND = "no audio track: silence was assumed"
NONE = np.zeros(0, bool)  # `valid` of a file without a segment


class LabellingObserver(Protocol):
    """Receiver of the intermediate values of labelling, which a `Result` does not contain."""

    def on_batch(self, batch: SegmentBatch, features: Features) -> None:
        """Receive the next segments of a file, of index `batch.file`, and their features."""
        ...

    def on_probabilities(self, index: int, probabilities: np.ndarray) -> None:
        """Receive the probabilities float32 [T, C+1] of a file, of all classes of the model."""
        ...


class Prediction(NamedTuple):
    """Probabilities of one file.

    Attributes:
        probabilities: float32 [T, C+1], background last; T is 0 if no segment was decoded.
        valid: bool [T].
        status: Status of the decoding.
        evidence: Visual and audio scores float32 [T, C] each, of a zero-shot model.
    """

    probabilities: np.ndarray
    valid: np.ndarray
    status: DecodeStatus
    evidence: Sequence[np.ndarray] = ()


class InferencePipeline:
    """Runs an exported model on files, arrays and features.

    `Localizer` is the interface for users; batch runs, live streams and evaluation use this class.

    Args:
        model: An exported model, or its folder.
        inference: Windows and batches.
        data: Number of files decoded at the same time.
        media: Limits of the decoder.
        engine: Engine and precision of the networks.
        classes: Classes that are labelled, as of `resolve_classes`; the others become background.
            All, or those that a zero-shot model labels by default, when None.
        reuse: Which frames are not embedded again, as of `embeddings.visual.reuse`.

    Attributes:
        model: The exported model.
        labels: The classes that are labelled.
        selected: Their names if others of the model are not labelled, else None.
        screen: The pipeline of a smaller model that screens for this one; None here, see
            `avel_tf.inference.cascade`.

    Raises:
        ModelError: The folder holds no exported model.
        ValueError: The model lacks one of the classes.
    """

    screen: InferencePipeline | None = None

    def __init__(
        self,
        model: str | Path | ExportedModel,
        *,
        inference: InferenceSettings | None = None,
        data: DataSettings | None = None,
        media: DecodeSettings | None = None,
        engine: EngineSettings | None = None,
        classes: str | Sequence[str] | None = None,
        reuse: Reuse = "exact",
    ) -> None:
        self.model = model if isinstance(model, ExportedModel) else ExportedModel(model)
        self.inference = inference or InferenceSettings()
        self.data = data or DataSettings()
        self.media = media or DecodeSettings()
        self.engine_settings = engine or EngineSettings()
        self._choice: EngineChoice | None = None
        self._engine: FallbackEngine | None = None
        self._selection = select_classes(self.model, classes)
        self.labels = self._selection.labels if self._selection else self.model.labels
        self.selected = self.labels.names if self._selection else None
        self._graphs = replace(
            self.model.graphs(reuse),
            stored_network=lambda name: stored_network(self.model, name),
        )

    @property
    def name(self) -> str:
        """Name of the model in results."""
        return self.model.name

    @property
    def choice(self) -> EngineChoice | None:
        """The engine in use, or chosen; None before it is chosen."""
        return self._engine.choice if self._engine else self._choice

    @property
    def frame_count(self) -> FrameCount:
        """Frames of all calls so far, and those of them that were embedded."""
        return self._graphs.reuse.count if self._graphs.reuse else FrameCount()

    @property
    def crashed_engines(self) -> list[str]:
        """Engines that are recorded as crashed with this model on this machine."""
        crashes = recorded_crashes(self.engine_settings, self._graphs)
        return [crash.choice.description for crash in crashes]

    def choose_engine(self, paths: Sequence[str] = (), *, int8: bool = True) -> EngineChoice:
        """Choose the engine, once. Nothing is loaded if this machine has a recorded choice.

        Args:
            paths: Files whose first frames are used to compare the engines.
            int8: False if int8 must not be used, because several machines would calibrate networks
                of their own.

        Raises:
            EngineUnavailableError: This machine does not have the engine of the settings.
        """
        if self._choice is None:
            self._choice = choose_engine(
                self._graphs,
                self.engine_settings,
                lambda: sample_clips(paths, self.model.recipe, self.media),
                SampleFiles(paths, self.model.recipe, self.media) if int8 else None,
            )
        return self.choice or self._choice

    def label_files(
        self,
        paths: Sequence[str],
        *,
        on_open: Callable[[str], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
        observer: LabellingObserver | None = None,
    ) -> Generator[tuple[int, Result], None, None]:
        """Label files; the next ones are decoded while one is embedded.

        Args:
            paths: The files, as `os.fsdecode` gives their names.
            on_open: Called with a path before its file is opened, from the decoding threads.
            should_stop: Called before each file; once it returns True, no further file is opened,
                and those that are open are finished.
            observer: Receives the intermediate values of each file.

        Yields:
            The index of a file in `paths` and its result, in the order in which files finish.
        """
        on_batch = observer.on_batch if observer else None
        for index, prediction in self.predict_files(
            paths, on_open=on_open, should_stop=should_stop, on_batch=on_batch
        ):
            if prediction.status.seconds and observer:
                observer.on_probabilities(index, prediction.probabilities)
            yield index, self.result(paths[index], *prediction)

    def predict_files(
        self,
        paths: Sequence[str],
        *,
        on_open: Callable[[str], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
        on_batch: OnBatch | None = None,
    ) -> Generator[tuple[int, Prediction], None, None]:
        """Compute the probabilities of files; arguments and order as of `label_files`.

        Args:
            on_batch: Called with each decoded batch and its features.
        """
        engine = self._loaded_engine(paths)
        stream = self._loader(paths, on_open, should_stop)
        windows = self._windows(engine.label)
        kept: dict[int, list[tuple[np.ndarray, ...]]] = {}  # valid and evidence of the parts
        for index, part in embed_parts(stream, engine, on_batch=on_batch):
            if isinstance(part, Features):
                windows.add(index, part.visual, part.audio, part.valid)
                row = (part.valid, *self.evidence(part.visual, part.audio))
                kept.setdefault(index, []).append(row)
            elif part.seconds:
                valid, *evidence = map(np.concatenate, zip(*kept.pop(index), strict=True))  # [T]
                yield index, Prediction(windows.end(index), valid, part, evidence)
            else:
                yield index, Prediction(np.zeros([0, len(self.model.labels) + 1]), NONE, part)

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
        windows = self._windows(engine.label)
        parts = []
        for start in range(0, len(frames), engine.batch_seconds):
            part = slice(start, start + engine.batch_seconds)
            visual, audio = engine.embed_seconds(frames[part], waveform[part])  # [n, Dv], [n, Da]
            windows.add(0, visual, audio, np.ones(len(visual), bool))
            parts.append(self.evidence(visual, audio))
        evidence = [np.concatenate(each) for each in zip(*parts, strict=True)]  # [T, C]
        status = DecodeStatus(len(frames), float(len(frames)), has_sound)
        valid = np.ones(len(frames), bool)
        return self.result(name, windows.end(0), valid, status, evidence)

    def evidence(self, visual: np.ndarray, audio: np.ndarray) -> tuple[np.ndarray, ...]:
        """Scores of each class in each modality, of a zero-shot model.

        Args:
            visual: float32 [N, Dv].
            audio: float32 [N, Da].

        Returns:
            visual and audio float32 [N, C]; nothing for other models.
        """
        columns = self.model.columns
        return columns.evidence(visual, audio) if columns else ()

    def scores(self, probabilities: np.ndarray) -> Scores:
        """Scores [T] of the selected classes, of the model's probabilities [T, C+1]."""
        if self._selection:
            return self._selection.scores(self.model.postprocessing, probabilities)
        return self.model.postprocessing.scores(probabilities)

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

    def embed_seconds(
        self, frames: np.ndarray, waveform: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Embed decoded segments.

        Args:
            frames: uint8 [N, F, H, W, 3], with F, H and W of the model's recipe.
            waveform: float32 [N, 16000].

        Returns:
            visual float32 [N, Dv] and audio float32 [N, Da].
        """
        engine = self._loaded_engine([])
        parts = [
            engine.embed_seconds(
                frames[start : start + engine.batch_seconds],
                waveform[start : start + engine.batch_seconds],
            )
            for start in range(0, len(frames), engine.batch_seconds)
        ]
        visual, audio = map(np.concatenate, zip(*parts, strict=True))
        return visual, audio

    def selected_probabilities(self, probabilities: np.ndarray) -> np.ndarray:
        """Probabilities [..., K+1] of the K selected classes, of the model's [..., C+1]."""
        if self._selection is None:
            return probabilities
        if self.model.postprocessing.multi_label:
            return probabilities[..., [*self._selection.indices, -1]]
        return self._selection(probabilities)

    def live_engine(self) -> Engine:
        """Load an engine for one segment at a time and warm it up.

        It is the engine recorded for this model on this machine, else TensorFlow in float32,
        because comparing engines takes longer than a live stream can wait.
        """
        visual = self.model.recipe.visual
        settings = replace(self.engine_settings, batch_pictures=visual.frames_per_second)
        engine = make_engine(self.choose_engine(), self._graphs, settings)
        frames = differing_frames(1, visual)
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
            model=self.name,
        )

    def result(
        self,
        path: str,
        probabilities: np.ndarray,
        valid: np.ndarray,
        status: DecodeStatus,
        evidence: Sequence[np.ndarray] = (),
    ) -> Result:
        """Result of a file from its segments.

        Args:
            path: The file.
            probabilities: float32 [T, C+1], background last.
            valid: bool [T].
            status: How the file was decoded.
            evidence: Result of `evidence` for its features.
        """
        if not valid.any():
            return self.refusal(path, status)
        scores, labels = self.scores(probabilities), self.labels
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
                evidence=evidence,
                evidence_labels=self.model.labels,
            ),
            events=self.model.postprocessing.events.decode(
                scores, labels, valid, duration=status.duration
            ),
            model=self.name,
            audio_track=status.audio_track,
        )

    def _loaded_engine(self, paths: Sequence[str]) -> Engine:
        if self._engine is None:
            choice = self.choose_engine(paths)
            self._engine = make_engine(choice, self._graphs, self.engine_settings)
        return self._engine

    def _loader(
        self,
        paths: Sequence[str],
        on_open: Callable[[str], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> SegmentLoader:
        return SegmentLoader(
            [self.model.recipe.visual.decode_request(path, self.media) for path in paths],
            workers=self.data.resolved_workers,
            on_open=None if on_open is None else lambda index: on_open(paths[index]),
            should_stop=should_stop,
        )

    def _windows(self, label: Predict) -> WindowLabeller:
        return WindowLabeller(
            label,
            window_seconds=self.inference.window_seconds,
            hop_seconds=self.inference.hop_seconds,
            batch_size=self.inference.batch_clips,
            multi_label=self.model.postprocessing.multi_label,
        )


def select_classes(
    model: ExportedModel, classes: str | Sequence[str] | None
) -> ClassSelection | None:
    """Selection of classes of a model; None if it labels all of them."""
    labels = model.labels
    if classes is None:
        names = model.default_classes
    else:
        names = resolve_classes(classes, labels, model.class_words)
    if names is None:
        return None
    related = None
    if model.columns:
        related = model.columns.related([labels.index(name) for name in names])
    return ClassSelection(labels, names, related)


def _reason(status: DecodeStatus) -> str | None:
    if status.problem and status.remark:
        return f"{status.problem} {status.remark[0].upper()}{status.remark[1:]}."
    if status.problem:
        return status.problem
    assumed = [*([] if status.has_sound else [NO_SOUND]), *filter(None, [status.remark])]
    return "; ".join(assumed) or None
