"""Files of converted networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openvino import opset13

from avel_tf.engines.network_files import StoredNetwork, with_batch


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


@pytest.mark.parametrize("links", [True, False])
def test_a_batch_size_is_fixed_in_the_file(links, tmp_path, monkeypatch):
    x = opset13.parameter([-1, 3], np.float32, name="x")
    doubled = opset13.multiply(x, opset13.constant(np.float32(2.0)))
    openvino.save_model(openvino.Model([doubled], [x]), tmp_path / "a.xml", compress_to_fp16=False)

    def refuse(*_):
        raise PermissionError("no links here")

    if not links:
        monkeypatch.setattr(Path, "hardlink_to", refuse)
    xml = with_batch(tmp_path / "a.xml", 4)
    assert with_batch(tmp_path / "a.xml", 4) == xml  # not written again
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("a-4.bin", "a-4.xml", "a.bin", "a.xml"),
    ]
    network = openvino.Core().compile_model(xml, "CPU")
    assert list(network.input(0).shape) == [4, 3]
    np.testing.assert_array_equal(network(np.ones([4, 3], np.float32))[0], 2.0)
    assert openvino.Core().read_model(tmp_path / "a.xml").input(0).partial_shape[0].is_dynamic


def test_bodies_of_loops_keep_their_shapes(tmp_path):
    """A loop over rows, whose body has a parameter of its own, as in YAMNet's audio network."""
    row = opset13.parameter([1, 8], np.float32)
    folded = opset13.reshape(row, opset13.constant([4, 2]), special_zero=False)
    total = opset13.result(opset13.reduce_sum(folded, np.array([0]), keep_dims=True))
    x = opset13.parameter([-1, 8], np.float32, name="x")
    loop = opset13.tensor_iterator()
    loop.set_body(openvino.Model([total], [row]))
    loop.set_sliced_input(row, x.output(0), 0, 1, 1, -1, 0)
    sums = loop.get_concatenated_slices(total.output(0), 0, 1, 1, -1, 0)
    model = openvino.Model([opset13.result(sums)], [x])
    openvino.save_model(model, tmp_path / "a.xml", compress_to_fp16=False)
    rows = np.arange(24, dtype=np.float32).reshape(3, 8)
    network = openvino.Core().compile_model(with_batch(tmp_path / "a.xml", 3), "CPU")
    np.testing.assert_allclose(network(rows)[0], rows.reshape(3, 4, 2).sum(1))
