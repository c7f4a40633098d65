"""PyTorch's files of weights, read without PyTorch."""

from __future__ import annotations

import io
import pickle
import struct
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from avel_tf.embeddings.torch_weights import MAGIC_NUMBER, read_state_dict

STORAGES = {"<f4": "FloatStorage", "<f8": "DoubleStorage", "<i8": "LongStorage"}
arrays = st.sampled_from(sorted(STORAGES)).flatmap(
    lambda dtype: st_numpy.arrays(dtype, st_numpy.array_shapes(max_dims=4, max_side=4))
)
few = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Torch:
    """Writes the format as PyTorch 1.5 does, with stand-ins for its classes."""

    def __init__(self) -> None:
        self.module, self.utils = types.ModuleType("torch"), types.ModuleType("torch._utils")

        def _rebuild_tensor_v2(*arguments):
            raise AssertionError("the stand-in was called")

        _rebuild_tensor_v2.__module__ = "torch._utils"
        _rebuild_tensor_v2.__qualname__ = "_rebuild_tensor_v2"
        self.utils._rebuild_tensor_v2 = _rebuild_tensor_v2
        for name in STORAGES.values():
            setattr(self.module, name, type(name, (), {"__module__": "torch"}))

    def save(self, tensors: dict[str, np.ndarray]) -> bytes:
        storages: list[np.ndarray] = []
        torch = self

        class Tensor:
            def __init__(self, array: np.ndarray) -> None:
                self.array = array

            def __reduce__(self):
                strides = tuple(each // self.array.itemsize for each in self.array.strides)
                arguments = (Storage(self.array), 0, self.array.shape, strides, False, {})
                return torch.utils._rebuild_tensor_v2, arguments

        class Storage:
            def __init__(self, array: np.ndarray) -> None:
                self.array = array

        class Pickler(pickle.Pickler):
            def persistent_id(self, each):
                if not isinstance(each, Storage):
                    return None
                storages.append(each.array)
                kind = getattr(torch.module, STORAGES[each.array.dtype.str])
                return ("storage", kind, str(len(storages) - 1), "cpu", each.array.size, None)

        file = io.BytesIO()
        pickle.dump(MAGIC_NUMBER, file, protocol=2)
        pickle.dump(1001, file, protocol=2)
        pickle.dump({"protocol_version": 1001, "little_endian": True}, file, protocol=2)
        Pickler(file, protocol=2).dump({name: Tensor(each) for name, each in tensors.items()})
        pickle.dump([str(index) for index in range(len(storages))], file, protocol=2)
        for array in storages:
            file.write(struct.pack("<q", array.size) + array.tobytes(order="A"))
        return file.getvalue()


@pytest.fixture
def torch():
    made = Torch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "torch", made.module)
        patch.setitem(sys.modules, "torch._utils", made.utils)
        yield made


def read(path: Path, content: bytes) -> dict[str, np.ndarray]:
    path.write_bytes(content)
    return read_state_dict(path)


@few
@given(tensors=st.dictionaries(st.text(max_size=5), arrays, max_size=4))
def test_tensors_are_read_as_they_were_written(tmp_path, torch, tensors):
    found = read(tmp_path / "a.pth", torch.save(tensors))
    assert list(found) == list(tensors)
    for name, expected in tensors.items():
        assert found[name].dtype == expected.dtype
        np.testing.assert_array_equal(found[name], expected)


def test_transposed_tensors_keep_their_values(tmp_path, torch):
    expected = np.asfortranarray(np.arange(24, dtype="<f4").reshape(2, 3, 4))
    found = read(tmp_path / "a.pth", torch.save({"w": expected}))
    np.testing.assert_array_equal(found["w"], expected)


@settings(few, max_examples=300)
@given(data=st.data())
def test_damaged_files_give_tensors_or_a_value_error(tmp_path, torch, data):
    content = bytearray(torch.save({"a": np.ones([2, 3], "<f4"), "b": np.arange(4)}))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.sampled_from([len(content), place]))]
    try:
        found = read(tmp_path / "a.pth", bytes(content))
    except ValueError as error:
        assert "a.pth" in str(error)
    else:
        assert all(type(each) is np.ndarray for each in found.values())


class Attack:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_code_in_a_file_does_not_run(tmp_path):
    marker = tmp_path / "ran"
    attack = pickle.dumps(Attack(marker), protocol=2)
    head = b"".join(
        pickle.dumps(each, protocol=2) for each in (MAGIC_NUMBER, 1001, {"little_endian": True})
    )
    for content in (attack, head + attack):
        with pytest.raises(ValueError, match="not a part of a tensor"):
            read(tmp_path / "a.pth", content)
    assert not marker.exists()
    pickle.loads(attack)
    assert marker.exists()  # the attack itself works


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "exhausted"),
        (b"PK\x03\x04 a zip archive of PyTorch 1.6", "before 1.6"),
        (pickle.dumps(7), "magic number"),
        # Python's unpickler would allocate a table for two billion objects.
        (b"\x80\x02Nr\xff\xff\xff\x7f.", "magic number"),
        (b"\x80\x02N", "exhausted"),
        (b"\x80\x02(ios\nsystem\n.", "opcode INST"),
    ],
)
def test_other_files_are_refused(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path / "a.pth", content)


@pytest.mark.parametrize("lie", ["shape", "length"])
def test_sizes_beyond_the_file_are_refused(tmp_path, torch, lie):
    content = torch.save({"a": np.ones([2, 3], "<f4")})
    if lie == "shape":  # BININT1 2 and 3, the shape, become 200 and 3
        content = content.replace(b"K\x02K\x03\x86", b"K\xc8K\x03\x86", 1)
    else:
        content = content.replace(struct.pack("<q", 6), struct.pack("<q", 2**40), 1)
    with pytest.raises(ValueError, match="goes beyond|declared"):
        read(tmp_path / "a.pth", content)


def test_pytorch_itself_writes_what_is_read(tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is in the extra [bench] only")
    tensors = {"a": torch.arange(6.0).reshape(2, 3).t(), "b": torch.tensor([1, 2])}
    torch.save(tensors, tmp_path / "a.pth", _use_new_zipfile_serialization=False)
    found = read_state_dict(tmp_path / "a.pth")
    for name, expected in tensors.items():
        np.testing.assert_array_equal(found[name], expected.numpy())
