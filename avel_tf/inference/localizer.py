"""An exported model at work on files."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from avel_tf.data.features import Features
from avel_tf.data.second_stream import Outcome, SecondStream
from avel_tf.data.settings import DataSettings
from avel_tf.embeddings.recipe import Recipe
from avel_tf.events import seconds_to_events
from avel_tf.export.manifest import ModelError, find_version, model_name, read_manifest
from avel_tf.inference.embed_apart import embed_apart
from avel_tf.inference.inputs import find_inputs
from avel_tf.inference.settings import InferenceSettings
from avel_tf.labels import Labels
from avel_tf.media.decode import DecodeSettings
from avel_tf.results import Result, labelled_seconds
from avel_tf.windows import predict_in_windows

SIGNATURES = ("serving_default", "embed", "from_features")
NO_SOUND = "no sound track: silence was assumed"

__all__ = ["Localizer", "ModelError", "find_version", "load"]


class Localizer:
    """Labels every second of video files.

    Args:
        folder: A version of an exported model, as in `saved_models/demo/1`, or the folder of its
            versions, of which the latest is taken.
        inference: Windows and batches.
        data: Workers and batches of decoding and embedding.
        media: Limits of the decoder.

    Attributes:
        name: What results call the model: its folder's name and its version.
        labels: The classes.
        recipe: How the model wants features to be made.

    Raises:
        ModelError: When the folder holds no such model.

    Example:
        >>> localizer = avel_tf.load("saved_models/demo/1")
        >>> localizer.localize("dog.mp4").events
        (Event(label='Bark', start=2.0, end=7.0, score=0.93),)
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        inference: InferenceSettings | None = None,
        data: DataSettings | None = None,
        media: DecodeSettings | None = None,
    ) -> None:
        self.folder = find_version(folder)
        self.name = model_name(self.folder)
        self.inference = inference or InferenceSettings()
        self.data = data or DataSettings()
        self.media = media or DecodeSettings()
        assets = self.folder / "assets"
        try:
            self.labels = Labels.load(assets / "labels.txt")
            self.recipe = Recipe.from_dict(read_manifest(self.folder)["recipe"])
            self._model = tf.saved_model.load(str(self.folder))
        except ModelError:
            raise
        except (OSError, ValueError, TypeError, LookupError, tf.errors.OpError) as error:
            raise ModelError(
                f"{self.folder} is not a model that avel export wrote: {error}"
            ) from error
        missing = [name for name in SIGNATURES if name not in self._model.signatures]
        if missing:
            raise ModelError(
                f"The SavedModel {self.folder} has no signature {', '.join(missing)}. Expected "
                "what avel export writes."
            )

    def embed(self, frames: tf.Tensor, waveform: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The features of clips.

        Args:
            frames: uint8 [B, T, F, H, W, 3] RGB.
            waveform: float32 [B, T*16000] mono in [-1, 1].

        Returns:
            visual float32 [B, T, Dv] and audio float32 [B, T, Da].
        """
        features = self._model.signatures["embed"](frames=frames, waveform=waveform)
        return features["visual"], features["audio"]

    def predict(self, visual: np.ndarray, audio: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """Probabilities from features.

        Args:
            visual: float32 [B, T, Dv].
            audio: float32 [B, T, Da].
            valid: bool [B, T]; the exported signature takes every second for valid, so this only
                completes the interface that models share.

        Returns:
            float32 [B, T, C+1], background last.
        """
        outputs = self._model.signatures["from_features"](
            visual=tf.constant(visual), audio=tf.constant(audio)
        )
        return outputs["probabilities"].numpy()

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
        for done, (index, result) in enumerate(self.label_files(paths), start=1):
            waiting[index] = result
            if progress:
                progress(done, len(paths))
            while given in waiting:
                yield waiting.pop(given)
                given += 1

    def label_files(
        self, paths: Sequence[str], *, opening: Callable[[str], None] | None = None
    ) -> Generator[tuple[int, Result], None, None]:
        """Label files, each result as soon as it is there.

        Args:
            paths: The files.
            opening: Called with a path before its file is touched, from the decoding threads.

        Yields:
            For each file its place in `paths` and its result, in the order in which they end.
        """
        stream = SecondStream(
            paths,
            frames_per_second=self.recipe.visual.frames_per_second,
            size=self.recipe.visual.size,
            workers=self.data.resolved_workers,
            settings=self.media,
            opening=None if opening is None else lambda index: opening(paths[index]),
        )
        for index, features, outcome in embed_apart(
            stream, self.embed, batch_seconds=self.data.batch_seconds
        ):
            yield index, self._result(paths[index], features, outcome)

    def _result(self, path: str, features: Features | None, outcome: Outcome) -> Result:
        if features is None:
            return Result(
                path,
                "quarantined",
                outcome.error or "the file holds no second of video",
                duration=outcome.duration,
                model=self.name,
            )
        # Windows of one file only: what batch a window shares changes its last digits.
        (probabilities,) = predict_in_windows(
            self.predict,
            [(features.visual, features.audio, features.valid)],
            window_seconds=self.inference.window_seconds,
            hop_seconds=self.inference.hop_seconds,
            batch_size=self.inference.batch_clips,
        )  # [T, C+1]
        label_index = probabilities.argmax(-1)  # [T]
        score = probabilities.max(-1)  # [T]
        arrays = (label_index, score, self.labels, features.valid)
        return Result(
            path,
            "partial" if outcome.problem else "ok",
            outcome.problem or (None if outcome.has_sound else NO_SOUND),
            duration=outcome.duration,
            seconds=labelled_seconds(*arrays, duration=outcome.duration),
            events=seconds_to_events(*arrays, duration=outcome.duration),
            model=self.name,
        )


def load(folder: str | Path) -> Localizer:
    """Load an exported model.

    Args:
        folder: As in `saved_models/demo/1`, or `saved_models/demo` for its latest version.

    Returns:
        The localizer.

    Raises:
        ModelError: When the folder holds no model that avel-tf exported.
    """
    return Localizer(folder)
