from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from avel_tf.models import MODELS
from tests.models.conftest import VARIANTS, normalised, random_inputs, small_model

# T = 1 is meant: Keras warns that a softmax over one second is always 1.
pytestmark = pytest.mark.filterwarnings("ignore:You are using a softmax over axis")

few = settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
masks = hnp.arrays(bool, st.tuples(st.just(3), st.sampled_from([1, 4, 9])))


# The network of every piece has all that the others have.
FAST = ("every piece",)
CASES = [
    pytest.param(name, marks=[] if name in FAST else [pytest.mark.slow], id=name)
    for name in (*MODELS, *VARIANTS)
]


@pytest.fixture(scope="module", params=CASES)
def model(request: pytest.FixtureRequest) -> keras.Model:
    name = "avel" if request.param in VARIANTS else request.param
    return normalised(small_model(name, **VARIANTS.get(request.param, {})))


HOLES = np.array([[1, 1, 1, 1], [0, 1, 0, 1], [0, 0, 0, 0]], bool)


@few
@example(valid=HOLES, junk=np.nan)
@example(valid=HOLES, junk=np.inf)
@given(valid=masks, junk=st.sampled_from([0.0, -1e30, np.nan, np.inf]))
def test_invalid_seconds_do_not_matter(model: keras.Model, valid: np.ndarray, junk: float) -> None:
    inputs = random_inputs(valid)
    logits = np.asarray(model(inputs))
    assert np.isfinite(logits).all()
    changed = {"valid": valid}
    for modality in ("visual", "audio"):
        changed[modality] = np.where(valid[..., None], inputs[modality], np.float32(junk))
    again = np.asarray(model(changed))
    assert np.isfinite(again).all()
    np.testing.assert_array_equal(again[valid], logits[valid])


@few
@given(length=st.integers(1, 8), before=st.integers(0, 2), after=st.integers(0, 4))
def test_padding_does_not_matter(model: keras.Model, length: int, before: int, after: int) -> None:
    valid = np.zeros((2, before + length + after), bool)
    clip = slice(before, before + length)
    valid[:, clip] = True
    padded = random_inputs(valid)
    bare = {name: array[:, clip] for name, array in padded.items()}
    np.testing.assert_allclose(
        np.asarray(model(padded))[:, clip], np.asarray(model(bare)), atol=1e-5
    )


def test_clips_of_a_batch_are_independent(model: keras.Model) -> None:
    inputs = random_inputs(np.ones((3, 5), bool))
    expected = np.asarray(model(inputs))
    inputs["visual"][1] = np.nan
    inputs["audio"][1] = np.nan
    np.testing.assert_allclose(np.asarray(model(inputs))[[0, 2]], expected[[0, 2]], atol=1e-6)


def test_the_past_and_the_future_are_seen(model: keras.Model) -> None:
    """A change in the middle reaches both ends, so the LSTM does run in both directions."""
    inputs = random_inputs(np.ones((1, 7), bool))
    before = np.asarray(model(inputs))
    inputs["visual"][:, 3] *= -1
    inputs["audio"][:, 3] *= -1
    moved = np.abs(np.asarray(model(inputs)) - before).max(axis=-1)
    assert (moved[0, [0, 6]] > 1e-6).all()
