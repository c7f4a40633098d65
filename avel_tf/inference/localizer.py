"""The localizer: an exported model that labels files and arrays."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from avel_tf.embeddings.recipe import Recipe
from avel_tf.embeddings.settings import Reuse
from avel_tf.engines.settings import EngineSettings
from avel_tf.events.labels import Labels
from avel_tf.events.result import Result
from avel_tf.export.exported_model import ExportedModel
from avel_tf.features.settings import DataSettings
from avel_tf.inference.arrays import is_clip, prepare_clip
from avel_tf.inference.cascade import CascadePipeline
from avel_tf.inference.inputs import find_inputs
from avel_tf.inference.pipeline import InferencePipeline
from avel_tf.inference.settings import InferenceSettings, ScreenSettings
from avel_tf.pretrained import find_pretrained
from avel_tf.video.decode import DecodeSettings

PRETRAINED = "pretrained"
# `video` of the result of a pair of arrays, which has no file.
ARRAYS = "(arrays)"

VideoPath = str | bytes | os.PathLike
Clip = tuple[np.ndarray, np.ndarray | None]


class Localizer:
    """Labels every second of videos with the events that are both audible and visible.

    The networks are loaded with the first video. A localizer may be used again and again, by one
    thread at a time.

    Args:
        model: An exported model, or its folder: a version such as `saved_models/demo/1`, or the
            folder of versions, whose latest is taken.
        inference: Windows and batches.
        data: Number of files decoded at the same time.
        media: Limits of the decoder.
        engine: Engine and precision of the networks.
        classes: Classes that are labelled; the others become background. A list, or a text with
            commas. All, or those that a zero-shot model labels by default, when None.
        screen: A small exported model, or its folder, that screens files for `model`. Only segments
            that it does not call background go to `model` (docs/guide/inference.md#screening).
        screening: Margin and context of the screening.
        reuse: Which frames are not embedded again, as of `embeddings.visual.reuse`.

    Attributes:
        model: The exported model.

    Raises:
        ModelError: The folder holds no exported model, or a damaged one.

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
        classes: str | Sequence[str] | None = None,
        screen: str | Path | ExportedModel | None = None,
        screening: ScreenSettings | None = None,
        reuse: Reuse = "exact",
    ) -> None:
        settings: dict[str, Any] = {
            "inference": inference,
            "data": data,
            "media": media,
            "engine": engine,
            "classes": classes,
            "reuse": reuse,
        }
        self._pipeline = (
            InferencePipeline(model, **settings)
            if screen is None
            else CascadePipeline(model, screen, screening, **settings)
        )
        self.model = self._pipeline.model

    @property
    def name(self) -> str:
        """Name of the model in results: name of its folder and version."""
        return self._pipeline.name

    @property
    def labels(self) -> Labels:
        """Classes that are labelled."""
        return self._pipeline.labels

    @property
    def recipe(self) -> Recipe:
        """Backbones and input format of the model."""
        return self.model.recipe

    def __repr__(self) -> str:
        choice = self._pipeline.choice
        engine = choice.description if choice else self._pipeline.engine_settings.name
        return f"<Localizer {self.name!r}: {len(self.labels)} classes, engine {engine}>"

    @overload
    def localize(self, video: VideoPath | Clip) -> Result: ...  # type: ignore[overload-overlap]

    @overload
    def localize(self, video: Iterable[VideoPath | Clip]) -> Iterator[Result]: ...

    def localize(self, video: Any) -> Result | Iterator[Result]:
        """Label one video, or several.

        A file that cannot be decoded does not raise: its result has the status `quarantined` and
        a reason. So does each path of an iterable, whatever is there.

        Args:
            video: One of

                - the path of a video file;
                - a pair (frames, waveform) of arrays. Frames are uint8 [T, F, H, W, 3] or
                  [T, H, W, 3] RGB at equal distances, of any F, H and W: the frame shown at each
                  sampling time of the model is taken, and is resized as the decoder does it. The
                  waveform is float32 [T*16000], mono at 16 kHz in [-1, 1], or None for silence;
                - an iterable of paths and pairs.

        Returns:
            A `Result` for a path or a pair. For an iterable, an iterator over one result per item,
            in order. Several files are decoded at the same time; from a generator, no more items
            are taken in advance than `data.workers`.

        Raises:
            TypeError: `video` is none of these, or an array has the wrong type.
            ValueError: The path is that of a folder, or an array has the wrong shape or values.
            EngineUnavailableError: This machine does not have the engine of the settings.

        Example:
            >>> localizer.localize("dog.mp4").status
            'ok'
            >>> localizer.localize((frames, waveform)).events
            ()
            >>> [result.video for result in localizer.localize(["a.mp4", "b.mp4"])]
            ['a.mp4', 'b.mp4']
        """
        if isinstance(video, str | bytes | os.PathLike):
            path = os.fsdecode(video)
            if os.path.isdir(path):
                raise ValueError(
                    f"{path} is a folder. Expected a video file; localize_directory labels the "
                    "videos in a folder."
                )
            return next(self._in_order([path]))
        if is_clip(video):
            return self._localize_clip(*video)
        if isinstance(video, Iterable) and not hasattr(video, "shape"):
            return self._localize_each(video)
        kind = f"array of shape {video.shape}" if hasattr(video, "shape") else repr(video)
        raise TypeError(
            "localize takes the path of a video file, a pair (frames, waveform), or an iterable of "
            f"these. Received: {kind}."
        )

    def localize_directory(self, folder: VideoPath) -> Iterator[Result]:
        """Label every video file in a folder, at any depth.

        Args:
            folder: The folder.

        Returns:
            An iterator over one result per file, in the order of their paths.

        Raises:
            ValueError: There is no such folder.

        Example:
            >>> for result in localizer.localize_directory("videos"):
            ...     print(result.video, result.events)
        """
        path = os.fsdecode(folder)
        if not os.path.isdir(path):
            raise ValueError(f"There is no folder {path}. Use localize for a single file.")
        return self._in_order(find_inputs([path]))

    def _localize_clip(self, frames: Any, waveform: Any) -> Result:
        frames, sound = prepare_clip(frames, waveform, self.recipe.visual)
        return self._pipeline.label_arrays(
            frames, sound, name=ARRAYS, has_sound=waveform is not None
        )

    def _localize_each(self, videos: Iterable[VideoPath | Clip]) -> Iterator[Result]:
        """Results of the items of an iterable, in order."""
        whole = (
            len(videos) if isinstance(videos, Sequence) else self._pipeline.data.resolved_workers
        )
        items = iter(videos)
        while group := list(itertools.islice(items, whole)):
            for clips, neighbours in itertools.groupby(group, is_clip):
                if clips:
                    for frames, waveform in neighbours:  # type: ignore[misc, str-unpack]
                        yield self._localize_clip(frames, waveform)
                else:
                    yield from self._in_order([_path_of(each) for each in neighbours])

    def _in_order(self, paths: Sequence[str]) -> Iterator[Result]:
        """Results of files in the order of `paths`, each as soon as those before are done."""
        waiting: dict[int, Result] = {}
        following = 0
        for index, result in self._pipeline.label_files(paths):
            waiting[index] = result
            while following in waiting:
                yield waiting.pop(following)
                following += 1


def _path_of(item: Any) -> str:
    if not isinstance(item, str | bytes | os.PathLike):
        raise TypeError(
            "localize takes an iterable of paths of video files and of pairs (frames, waveform). "
            f"Received: an item {item!r:.200}."
        )
    return os.fsdecode(item)


def load(
    model: str | Path | ExportedModel | None = None,
    *,
    inference: InferenceSettings | None = None,
    data: DataSettings | None = None,
    media: DecodeSettings | None = None,
    engine: EngineSettings | None = None,
    classes: str | Sequence[str] | None = None,
    class_table: str | Path | None = None,
    screen: str | Path | ExportedModel | None = None,
    screening: ScreenSettings | None = None,
    reuse: Reuse = "exact",
) -> Localizer:
    """Load an exported model.

    Args:
        model: `"pretrained"`, or None, for the model that comes with avel-tf; or the folder of an
            exported model, `saved_models/demo/1`, or `saved_models/demo` for its latest version.
        inference: Windows and batches.
        data: Number of files decoded at the same time.
        media: Limits of the decoder.
        engine: Engine and precision of the networks.
        classes: Classes that are labelled; the others become background. For the pretrained model
            any of `avel classes`, by name or another word for it.
        class_table: A CSV file with further classes for the pretrained model.
        screen, screening: As of `Localizer`.
        reuse: Which frames are not embedded again, as of `embeddings.visual.reuse`.

    Returns:
        The localizer. Its networks are loaded with the first video.

    Raises:
        ModelError: The folder holds no model that avel-tf exported, or the pretrained one cannot
            be built.
        ValueError: The model lacks one of the classes.

    Example:
        >>> avel_tf.load("pretrained", classes=["dog", "Cat"])
        <Localizer 'pretrained/2': 2 classes, engine auto>
    """
    if model is None or (model == PRETRAINED and not os.path.isdir(PRETRAINED)):
        model = find_pretrained(engine, class_table)
    elif class_table is not None:
        raise ValueError(
            f"The class table {class_table} extends the pretrained model; the model {model} has "
            "its own classes. Leave out one of them."
        )
    return Localizer(
        model,
        inference=inference,
        data=data,
        media=media,
        engine=engine,
        classes=classes,
        screen=screen,
        screening=screening,
        reuse=reuse,
    )
