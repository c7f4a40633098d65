"""Weights in PyTorch's file format, read without PyTorch.

Covers what `torch.save(model.state_dict())` wrote before PyTorch 1.6: four pickles (magic number,
version, system, state), the list of storages, and the numbers of each storage. Later files are zip
archives and are refused.

A pickle can run any code when Python's module `pickle` loads it. The reader below interprets the
opcodes itself, and can build only tensors, dictionaries, lists, tuples and plain values.

Reference:
    `_legacy_load` of https://github.com/pytorch/pytorch/blob/v1.5.0/torch/serialization.py
"""

from __future__ import annotations

import io
import math
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
DICTIONARY = "collections OrderedDict"
TENSOR = "torch._utils _rebuild_tensor_v2"
# Opcodes whose argument is the value.
PLAIN_VALUES = {
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE"),
}
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_MARK = object()


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
    # Every error that damaged bytes can cause.
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
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
    """Read the next pickle of a file.

    Opcodes are described in Python's `pickletools`; those that state dictionaries do not use are
    refused.
    """
    stack: list[Any] = []
    memo: dict[int, Any] = {}

    def since_mark() -> list[Any]:
        place = len(stack) - 1 - stack[::-1].index(_MARK)
        items = stack[place + 1 :]
        del stack[place:]
        return items

    for opcode, argument, _ in pickletools.genops(file):
        name = opcode.name
        if name in ("PROTO", "FRAME"):
            continue
        if name == "STOP":
            return stack.pop()
        if name in PLAIN_VALUES:
            stack.append(argument)
        elif name in CONSTANTS:
            stack.append(CONSTANTS[name])
        elif name == "MARK":
            stack.append(_MARK)
        elif name in ("EMPTY_DICT", "EMPTY_LIST"):
            stack.append({} if name == "EMPTY_DICT" else [])
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            length = int(name[-1])
            items = [stack.pop() for _ in range(length)]
            stack.append(tuple(reversed(items)))
        elif name == "TUPLE":
            stack.append(tuple(since_mark()))
        elif name in ("APPEND", "APPENDS"):
            items = [stack.pop()] if name == "APPEND" else since_mark()
            _of_type(stack[-1], list).extend(items)
        elif name in ("SETITEM", "SETITEMS"):
            items = [stack.pop(-2), stack.pop()] if name == "SETITEM" else since_mark()
            _of_type(stack[-1], dict).update(zip(items[::2], items[1::2], strict=True))
        elif name in ("BINPUT", "LONG_BINPUT"):
            memo[_of_type(argument, int)] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[_of_type(argument, int)])
        elif name == "GLOBAL":
            stack.append(_symbol(str(argument)))
        elif name == "BINPERSID":
            stack.append(_storage(stack.pop()))
        elif name == "REDUCE":
            arguments, function = _of_type(stack.pop(), tuple), stack.pop()
            stack.append(_call(function, arguments))
        elif name == "BUILD":
            stack.pop()  # attributes of the state dictionary: versions of its modules
        else:
            raise ValueError(f"the opcode {name} is not used by state dictionaries")
    raise ValueError("it ends within a pickle")


def _of_type(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise ValueError(f"expected a {kind.__name__}, received a {type(value).__name__}")
    return value


def _symbol(name: str) -> str:
    if name not in (DICTIONARY, TENSOR) and name.removeprefix("torch ") not in TYPES:
        raise ValueError(f"{name.replace(' ', '.')} is not a part of a tensor")
    return name


def _call(function: Any, arguments: tuple[Any, ...]) -> Any:
    if function == DICTIONARY:
        return dict(*arguments)
    if function == TENSOR:
        return _tensor(*arguments)
    raise ValueError(f"{function!r:.40} cannot be called")


def _storage(identifier: Any) -> _Storage:
    kind, dtype, key, _, length, view = identifier
    if kind != "storage" or view is not None or type(length) is not int or length < 0:
        raise ValueError(f"{identifier!r:.80} is not a storage")
    return _Storage(_of_type(key, str), TYPES[dtype.removeprefix("torch ")], length)


def _tensor(
    storage: Any, offset: Any, shape: Any, strides: Any, gradient: Any = False, hooks: Any = None
) -> _Tensor:
    if not isinstance(storage, _Storage):
        raise ValueError("a tensor has no storage")
    numbers = (offset, *shape, *strides)
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise ValueError("a tensor has a shape that is not of whole numbers")
    return _Tensor(storage, offset, tuple(shape), tuple(strides))
