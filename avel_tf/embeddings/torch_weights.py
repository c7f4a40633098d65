"""Weights in PyTorch's file format, read without PyTorch.

Covers what `torch.save(model.state_dict())` wrote before PyTorch 1.6: four pickles (magic number,
version, system, state), the list of storages, and the numbers of each storage. Later files are zip
archives and are refused.

A pickle can run any code when it is loaded. Here every opcode is checked first, and only tensors,
dictionaries and plain values can be built.

Reference:
    `_legacy_load` of https://github.com/pytorch/pytorch/blob/v1.5.0/torch/serialization.py
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
VERSION = 1001
TYPES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
}
OPCODES = frozenset(
    {
        *("PROTO", "STOP", "MARK", "POP", "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET"),
        *("MEMOIZE", "FRAME", "GLOBAL", "REDUCE", "BUILD", "BINPERSID", "NONE", "NEWTRUE"),
        *("NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE"),
        *("SHORT_BINUNICODE", "EMPTY_DICT", "SETITEM", "SETITEMS", "EMPTY_LIST"),
        *("APPEND", "APPENDS", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
    }
)


class _Storage(NamedTuple):
    key: str
    dtype: str
    length: int


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_state_dict(path: str | Path) -> dict[str, np.ndarray]:
    """Read the tensors of a PyTorch state dictionary.

    Args:
        path: A `.pth` file.

    Returns:
        Arrays by name, in the order and with the types of the file.

    Raises:
        ValueError: The file is damaged, is of another format, or contains other objects.
        OSError: The file cannot be read.
    """
    content = Path(path).read_bytes()
    try:
        return _read(content)
    # Every error that damaged bytes can cause in pickle and NumPy.
    except (
        *(ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, RecursionError),
        *(pickle.UnpicklingError, TypeError, ValueError),
    ) as error:
        raise ValueError(
            f"{path} is not a readable PyTorch state dictionary of a version before 1.6: "
            f"{str(error) or type(error).__name__}. If it was downloaded, download it again."
        ) from error


def _read(content: bytes) -> dict[str, np.ndarray]:
    file = io.BytesIO(content)
    if (found := _load(file)) != MAGIC_NUMBER:
        raise ValueError(f"it should begin with PyTorch's magic number, and has {found!r:.40}")
    if (found := _load(file)) != VERSION:
        raise ValueError(f"expected version {VERSION}, received {found!r:.40}")
    system = _load(file)
    if not (isinstance(system, dict) and system.get("little_endian") is True):
        raise ValueError("its numbers are not little-endian")
    tensors = _load(file)
    if not isinstance(tensors, dict):
        raise ValueError(f"expected a dictionary of tensors, received a {type(tensors).__name__}")
    for name, tensor in tensors.items():
        if not isinstance(name, str) or not isinstance(tensor, _Tensor):
            raise ValueError(f"the entry {name!r:.40} is not a tensor")
    storages = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    arrays = {}
    for key in _load(file):
        storage = storages[key]
        length = int.from_bytes(file.read(8), "little")
        if length != storage.length:
            raise ValueError(f"the storage {key} has {length} numbers, {storage.length} declared")
        data = file.read(length * np.dtype(storage.dtype).itemsize)
        arrays[key] = np.frombuffer(data, storage.dtype)
        if len(arrays[key]) != length:
            raise ValueError(f"it ends within the storage {key}")
    return {name: _array(tensor, arrays[tensor.storage.key]) for name, tensor in tensors.items()}


def _array(tensor: _Tensor, numbers: np.ndarray) -> np.ndarray:
    size = math.prod(tensor.shape)
    steps = zip(tensor.shape, tensor.strides, strict=True)
    last = tensor.offset + sum((length - 1) * stride for length, stride in steps)
    # A stride of 0 would let a small file describe a huge tensor.
    if size > len(numbers) or (size and last >= len(numbers)):
        raise ValueError(f"a tensor of shape {tensor.shape} goes beyond its storage")
    if not size:
        return np.zeros(tensor.shape, numbers.dtype)
    strides = [stride * numbers.itemsize for stride in tensor.strides]
    view = np.lib.stride_tricks.as_strided(numbers[tensor.offset :], tensor.shape, strides)
    return np.ascontiguousarray(view)


def _load(file: io.BytesIO) -> Any:
    """Load the next pickle of a file, after a check of its opcodes."""
    start = file.tell()
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name not in OPCODES:
            raise ValueError(f"the opcode {opcode.name} is not used by state dictionaries")
        # The unpickler allocates a table as long as the largest index.
        if "PUT" in opcode.name and int(argument or 0) > file.tell():
            raise ValueError(f"an object has the number {argument}")
    file.seek(start)
    return _Unpickler(file).load()


class _Unpickler(pickle.Unpickler):
    """Builds dictionaries and tensors only."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            # A class of its own, because the opcode BUILD sets attributes.
            return type("OrderedDict", (dict,), {})
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda *arguments: _tensor(*arguments)
        if module == "torch" and name in TYPES:
            return TYPES[name]
        raise ValueError(f"{module}.{name} is not a part of a tensor")

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _, length, view = pid
        if kind != "storage" or dtype not in TYPES.values() or view is not None:
            raise ValueError(f"{pid!r:.80} is not a storage")
        if not isinstance(key, str) or type(length) is not int or length < 0:
            raise ValueError(f"{pid!r:.80} is not a storage")
        return _Storage(key, dtype, length)


def _tensor(
    storage: Any, offset: Any, shape: Any, strides: Any, gradient: Any = False, hooks: Any = None
) -> _Tensor:
    if not isinstance(storage, _Storage):
        raise ValueError("a tensor has no storage")
    numbers = (offset, *shape, *strides)
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise ValueError("a tensor has a shape that is not of whole numbers")
    return _Tensor(storage, offset, tuple(shape), tuple(strides))
