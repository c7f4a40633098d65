"""Converted networks without their weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openvino import opset13

from avel_tf.engines.stored_network import StoredNetwork


def save(folder: Path, weights: list[np.ndarray], others: list[np.ndarray]) -> Path:
    """A network that adds up constants, some of which are weights."""
    total = x = opset13.parameter([4], np.float32, name="x")
    for number, weight in enumerate(weights):
        constant = opset13.constant(weight, name=f"weight_{number}")
        total = opset13.add(total, opset13.reduce_sum(constant, np.array([0])))
        if number < len(others):
            total = opset13.multiply(total, opset13.constant(others[number]))
    openvino.save_model(openvino.Model([total], [x]), folder / "a.xml", compress_to_fp16=False)
    return folder / "a.xml"


@st.composite
def vectors(draw: st.DrawFn) -> np.ndarray:
    # Few values, so that some weights are equal and OpenVINO stores them once.
    length, value = draw(st.integers(1, 40)), draw(st.sampled_from([0.0, 1.0, 2.5]))
    return np.full(length, value, np.float32)


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(vectors(), min_size=1, max_size=6), st.lists(vectors(), max_size=3))
def test_weights_are_put_back(tmp_path, weights, others):
    others = [each[:1] + 0.25 for each in others]
    xml = save(tmp_path, weights, others)
    stored = StoredNetwork.of(xml, weights)
    stored.write(tmp_path, "b")
    for suffix in (".xml", ".bin"):
        assert (tmp_path / f"b{suffix}").read_bytes() == xml.with_suffix(suffix).read_bytes()


def test_no_weight_is_stored(tmp_path):
    weight = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    stored = StoredNetwork.of(save(tmp_path, [weight], []), [weight])
    assert len(stored.constants) < 100


def test_other_weights_are_refused(tmp_path):
    weight = np.arange(8, dtype=np.float32)
    xml = save(tmp_path, [weight], [])
    with pytest.raises(ValueError, match="other numbers than the weight 0"):
        StoredNetwork.of(xml, [weight + 1])
    with pytest.raises(ValueError, match="has 1 constants named weight_N, expected 2"):
        StoredNetwork.of(xml, [weight, weight])
