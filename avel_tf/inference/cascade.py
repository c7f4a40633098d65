"""Cascade: a small model screens files, and a large one labels what is not clearly background."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from avel_tf.engines.available import EngineChoice
from avel_tf.engines.windows import Predict
from avel_tf.export.exported_model import ExportedModel
from avel_tf.features.features import Features, OnBatch
from avel_tf.inference.chosen_segments import ChosenSegments
from avel_tf.inference.pipeline import InferencePipeline, Prediction
from avel_tf.inference.settings import ScreenSettings

# Files that are screened before the large model gets its share of them. They are in progress until
# then, so this bounds the work that a crash repeats and that a signal waits for.
GROUP_FILES = 16


class CascadePipeline(InferencePipeline):
    """Pipeline of a large model that embeds only what a small model does not call background.

    The small model labels each file first. Segments that `choose` selects are embedded and labelled
    by the large model. The others are background, with the probability of the small model; the
    large model treats them as missing. Windows without a chosen segment are not computed. A result
    depends on its file alone, and if all segments are chosen it is that of the large model.

    The two models may have other classes and other backbones, because only the background of the
    small one is used. Each model decodes its own frames. Arrays are labelled by the large model
    alone.

    Args:
        model: The large model, or its folder.
        screen: The small model, or its folder.
        settings: Margin and context.
        classes: Classes of the large model that are labelled.
        **options: As of `InferencePipeline`, for both models.

    Attributes:
        screen: The pipeline of the small model.
        settings: Margin and context.
    """

    screen: InferencePipeline

    def __init__(
        self,
        model: str | Path | ExportedModel,
        screen: str | Path | ExportedModel,
        settings: ScreenSettings | None = None,
        *,
        classes: str | Sequence[str] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(model, classes=classes, **options)
        self.screen = InferencePipeline(screen, **options)
        self.settings = settings or ScreenSettings()

    @property
    def name(self) -> str:
        """Names of both models, as in `large/1+small/1`."""
        return f"{self.model.name}+{self.screen.model.name}"

    @property
    def crashed_engines(self) -> list[str]:
        """Engines that are recorded as crashed with one of the models on this machine."""
        return [*super().crashed_engines, *self.screen.crashed_engines]

    def choose_engine(self, paths: Sequence[str] = (), *, int8: bool = True) -> EngineChoice:
        """Choose the engines of both models, once; returns that of the large one."""
        self.screen.choose_engine(paths, int8=int8)
        return super().choose_engine(paths, int8=int8)

    def predict_files(
        self,
        paths: Sequence[str],
        *,
        on_open: Callable[[str], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
        on_batch: OnBatch | None = None,
    ) -> Generator[tuple[int, Prediction], None, None]:
        """Compute the probabilities of files; see `InferencePipeline.predict_files`.

        Args:
            on_batch: Called with the chosen segments of a batch and their features.
        """
        for first in range(0, len(paths), GROUP_FILES):
            group = paths[first : first + GROUP_FILES]
            left: dict[int, tuple[np.ndarray, np.ndarray]] = {}  # background and chosen [T]
            for index, found in self.screen.predict_files(
                group, on_open=on_open, should_stop=should_stop
            ):
                background = self.screen.selected_probabilities(found.probabilities)[:, -1]  # [T]
                chosen = choose(background, self.settings)  # [T]
                if chosen.any():
                    left[first + index] = background, chosen
                else:
                    yield first + index, self._all_background(found, background)
            if left:
                yield from self._predict_chosen(paths, left, on_batch)

    def _all_background(self, found: Prediction, background: np.ndarray) -> Prediction:
        """Prediction of a file without a chosen segment."""
        probabilities = np.zeros([len(background), len(self.model.labels) + 1], np.float32)
        probabilities[:, -1] = background
        evidence = [np.zeros_like(probabilities[:, :-1])] * (2 if self.model.columns else 0)
        return found._replace(probabilities=probabilities, evidence=evidence)

    def _predict_chosen(
        self,
        paths: Sequence[str],
        left: Mapping[int, tuple[np.ndarray, np.ndarray]],
        on_batch: OnBatch | None,
    ) -> Generator[tuple[int, Prediction], None, None]:
        """Predictions of files that have chosen segments.

        Args:
            paths: All files.
            left: By the index of a file, the background [T] of the small model and the mask of the
                chosen segments [T].
            on_batch: As of `predict_files`.
        """
        indices, names = list(left), [paths[index] for index in left]
        engine = self._loaded_engine(names)
        source = ChosenSegments(self._loader(names), [chosen for _, chosen in left.values()])
        windows = self._windows(partial(self._label_windows, engine.label))
        evidence: list[list[tuple[np.ndarray, ...]]] = [[] for _ in names]

        def ended(all_files: bool = False) -> Generator[tuple[int, Prediction], None, None]:
            for place, status in source.ended(all_files=all_files):
                file, index = source.files[place], indices[place]
                background, chosen = left[index]
                if status.seconds != len(chosen):  # the file has changed since it was screened
                    ((_, whole),) = InferencePipeline.predict_files(self, [paths[index]])
                    yield index, whole
                    continue
                probabilities = _combined(windows.end(place), chosen, background)  # [T, C+1]
                parts = map(np.concatenate, zip(*evidence[place], strict=True))
                spread = [file.spread(each) for each in parts]
                yield index, Prediction(probabilities, file.valid, status, spread)

        for batch, visual, audio in engine.embed(source):
            features = Features(visual, audio, batch.valid)
            if on_batch:
                on_batch(batch, features)
            evidence[batch.file].append(self.evidence(visual, audio))
            for columns in source.files[batch.file].place(features):
                windows.add(batch.file, *columns)
            yield from ended()
        yield from ended(all_files=True)

    def label_chosen(
        self, features: Features, chosen: np.ndarray, background: np.ndarray
    ) -> np.ndarray:
        """Probabilities of a file whose segments have features already, for `fit_screen`.

        Args:
            features: Of the large model, for all segments of a file.
            chosen: Mask of the segments that the large model may use, bool [T].
            background: Probability of background by the small model, [T].

        Returns:
            float32 [T, C+1], as of `predict_files`.
        """
        windows = self._windows(partial(self._label_windows, self._loaded_engine([]).label))
        mask = chosen[:, None]  # [T, 1]
        windows.add(
            0, features.visual * mask, features.audio * mask, features.valid & chosen, chosen
        )
        return _combined(windows.end(0), chosen, background)

    def _label_windows(
        self,
        label: Predict,
        visual: np.ndarray,
        audio: np.ndarray,
        valid: np.ndarray,
        chosen: np.ndarray,
    ) -> np.ndarray:
        """Compute the probabilities of windows; those without a chosen segment are background.

        Args:
            label: Function of the engine.
            visual: float32 [B, T, Dv].
            audio: float32 [B, T, Da].
            valid: bool [B, T]; false for segments that are not chosen.
            chosen: bool [B, T].

        Returns:
            float32 [B, T, C+1].
        """
        some = chosen.any(axis=1)  # [B]
        if some.all():
            return label(visual, audio, valid)
        probabilities = np.zeros([*valid.shape, len(self.model.labels) + 1], np.float32)
        probabilities[..., -1] = 1.0
        if some.any():
            probabilities[some] = label(visual[some], audio[some], valid[some])
        return probabilities


def choose(background: np.ndarray, settings: ScreenSettings) -> np.ndarray:
    """Segments of a file that the large model labels.

    Args:
        background: Probability of background by the small model, [T].
        settings: Margin and context.

    Returns:
        bool [T]: segments of at most `settings.margin`, and those within `context_seconds`.
    """
    doubtful = ~(background > settings.margin)
    chosen = doubtful.copy()
    for distance in range(1, min(settings.context_seconds + 1, len(doubtful))):
        chosen[distance:] |= doubtful[:-distance]
        chosen[:-distance] |= doubtful[distance:]
    return chosen


def _combined(large: np.ndarray, chosen: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Probabilities [T, C+1] of the large model, and background [T] where it was not used."""
    probabilities = large.copy()
    probabilities[~chosen, :-1] = 0.0
    probabilities[~chosen, -1] = background[~chosen]
    return probabilities
