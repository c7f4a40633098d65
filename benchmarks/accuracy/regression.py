"""Baseline: a logistic regression on the mean features of a clip."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

# Half decades that cover 2,304 features of 320 clips as well as 128 features of 1,370.
STRENGTHS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0)


def fit_regression(
    means: np.ndarray,
    classes: np.ndarray,
    seed: int = 0,
    strengths: Sequence[float] = STRENGTHS,
) -> Pipeline:
    """Standardise, then regress; C is chosen by cross-validation within the training clips.

    Args:
        means: float [N, D], mean features of each clip.
        classes: int [N].
        seed: Seed of the inner folds.
        strengths: Values of C to choose from.
    """
    # A class of one clip is missing in the training part of one fold.
    folds = max(2, min(5, int(np.unique(classes, return_counts=True)[1].min())))
    search = GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
        {"logisticregression__C": strengths},
        cv=StratifiedKFold(folds, shuffle=True, random_state=seed),
    )
    return search.fit(means, classes).best_estimator_


def strength(regression: Pipeline) -> float:
    """The chosen C."""
    return regression[-1].C
