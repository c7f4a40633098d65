"""Class scores within features, by class of the class table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from avel_tf.embeddings.recipe import AudioRecipe, Recipe, VisualRecipe, vocabulary_size
from avel_tf.vocabulary.class_table import ClassTable, SoundingClass

Columns = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class ClassColumns:
    """Columns of the features that hold the scores of each class.

    Args:
        visual: For each of the C classes, its columns among the Dv visual features. The scores of
            an image are a distribution, so a class has the sum of its columns above chance.
        audio: The same among the Da audio features. The scores of sounds are independent, so a
            class has the maximum. A class without columns, which is not in the vocabularies, has
            no evidence.
        chance: For each class, the sum of its visual columns in a uniform distribution, such as
            0.118 for the 118 breeds of dogs among ImageNet's 1,000 classes; 0 each when empty.
    """

    visual: Columns
    audio: Columns
    chance: tuple[float, ...] = ()

    @classmethod
    def of(
        cls,
        recipe: Recipe,
        visual_indices: Sequence[Sequence[int]],
        audio_indices: Sequence[Sequence[int]],
    ) -> ClassColumns:
        """Find the columns of classes in the features of a recipe.

        Args:
            recipe: A recipe whose features end with class scores.
            visual_indices: For each class, indices of the visual vocabulary.
            audio_indices: The same of the audio vocabulary.

        Raises:
            ValueError: The recipe has no scores, or lacks those of a class.
        """
        visual = _columns(recipe.visual, visual_indices)
        audio = _columns(recipe.audio, audio_indices)
        size = vocabulary_size(recipe.visual.vocabulary or "")
        return cls(visual, audio, tuple(len(set(indices)) / size for indices in visual_indices))

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> ClassColumns:
        """Read the result of `dataclasses.asdict` from JSON."""
        visual, audio = (
            tuple(tuple(map(int, columns)) for columns in content[name])
            for name in ("visual", "audio")
        )
        if len(visual) != len(audio):
            raise ValueError(
                f"it has columns of {len(visual)} classes for one modality and {len(audio)} for "
                "the other"
            )
        return cls(visual, audio, tuple(map(float, content.get("chance", ()))))

    def evidence(self, visual: np.ndarray, audio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scores of each class in each modality.

        Args:
            visual: float32 [N, Dv].
            audio: float32 [N, Da].

        Returns:
            visual and audio float32 [N, C], in [0, 1].
        """
        seen = [visual[:, list(columns)].sum(-1) for columns in self.visual]
        heard = [audio[:, list(columns)].max(-1, initial=0.0) for columns in self.audio]
        chance = np.array(self.chance or [0.0] * len(seen), np.float32)
        above = np.maximum((np.stack(seen, axis=-1) - chance) / (1.0 - chance), 0.0)
        return above, np.stack(heard, axis=-1)

    def related(self, classes: Sequence[int]) -> np.ndarray:
        """Classes that share columns of both modalities with one of `classes`: bool [C].

        They are other names of the same thing, or of a part or kind of it.
        """
        chosen = [(set(self.visual[each]), set(self.audio[each])) for each in classes]
        return np.array(
            [
                any(not (seen.isdisjoint(v) or heard.isdisjoint(a)) for seen, heard in chosen)
                for v, a in zip(self.visual, self.audio, strict=True)
            ]
        )


@dataclass(frozen=True)
class NamedClasses:
    """Classes of a data set whose names the class table has.

    Args:
        classes: K indices of the data set's classes.
        columns: Columns of their scores.
    """

    classes: tuple[int, ...]
    columns: ClassColumns

    @classmethod
    def of(cls, recipe: Recipe, names: Sequence[str]) -> NamedClasses | None:
        """Find the scores of a data set's classes in the features of a recipe.

        Args:
            recipe: Recipe of the features.
            names: Names of the classes, such as "dog barking".

        Returns:
            None without scores of both modalities, or if no name is in the table.
        """
        if not (recipe.visual.score_width and recipe.audio.score_width):
            return None
        table = ClassTable.load()
        classes, visual, audio = [], [], []
        for number, name in enumerate(names):
            found = table.named_in(name)
            seen, heard = (_indices(table, found, part) for part in (recipe.visual, recipe.audio))
            if seen and heard:
                classes.append(number)
                visual.append(seen)
                audio.append(heard)
        if not classes:
            return None
        return cls(tuple(classes), ClassColumns.of(recipe, visual, audio))


def _indices(
    table: ClassTable, found: Sequence[SoundingClass], part: VisualRecipe | AudioRecipe
) -> list[int]:
    """Indices of classes in a vocabulary, without those that the features lack."""
    indices = {index for each in found for index in table.indices(each, part.vocabulary)}
    return sorted(indices if part.scores is None else indices.intersection(part.scores))


def _columns(recipe: VisualRecipe | AudioRecipe, classes: Sequence[Sequence[int]]) -> Columns:
    if recipe.vocabulary is None:
        raise ValueError(
            f"The features of {recipe.module} have no class scores. Set embeddings.scores=true."
        )
    first = recipe.width - recipe.score_width
    if recipe.scores is None:
        return tuple(tuple(first + index for index in indices) for indices in classes)
    place = {index: first + number for number, index in enumerate(recipe.scores)}
    missing = sorted({index for indices in classes for index in indices} - set(place))
    if missing:
        raise ValueError(
            f"The features of {recipe.module} lack the scores {missing[:10]} of "
            f"{recipe.vocabulary}. Add the classes to embeddings.scored_classes, or leave it empty."
        )
    return tuple(tuple(place[index] for index in indices) for indices in classes)
