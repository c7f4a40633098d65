from __future__ import annotations

import keras
import numpy as np

from avel_tf.models.heads import per_second_head


def test_evidence_is_added_to_the_events_of_every_second() -> None:
    seconds, evidence = keras.Input((None, 4)), keras.Input((3,))
    keras.utils.set_random_seed(0)
    model = keras.Model([seconds, evidence], per_second_head(seconds, 3, evidence))
    x = np.random.default_rng(0).normal(size=(2, 5, 4)).astype("float32")
    added = np.array([[1, 2, 3], [-1, 0, 4]], "float32")
    moved = np.asarray(model([x, added]) - model([x, 0 * added]))
    np.testing.assert_allclose(moved[..., :-1], np.repeat(added[:, None], 5, 1), atol=1e-5)
    assert (moved[..., -1] == 0).all()
