"""Settings of augmentation."""

from __future__ import annotations

import math

import pytest

from avel_tf.training.augmentation.settings import AugmentationSettings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mixup", -0.1),
        ("mixup", math.inf),
        ("feature_noise", math.nan),
        ("modality_dropout", 1.01),
        ("cross_modal_mixup", -1.0),
        ("cross_modal_mixup", math.nan),
    ],
)
def test_values_out_of_range_are_refused_with_their_key(name, value):
    with pytest.raises(ValueError, match=f"training.augmentation.{name} .*Received: {value}"):
        AugmentationSettings(**{name: value})
