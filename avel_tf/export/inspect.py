"""Inspection of a SavedModel's graph without running it."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avel_tf.export.manifest import ModelError

# TensorFlow ops with effects beyond tensors. Newer ops that the list lacks are found by the names
# of their inputs, see `_SUSPICIOUS_ARGUMENTS`.
REACHES = {
    "files": (
        *("ReadFile", "WriteFile", "MatchingFiles", "MatchingFilesDataset", "ImmutableConst"),
        *("ExperimentalMatchingFilesDataset", "DistributedSave"),
        *("Save", "SaveV2", "SaveSlices", "Restore", "RestoreV2", "RestoreSlice"),
        *("MergeV2Checkpoints", "LoadAndRemapMatrix", "GenerateVocabRemapping"),
        *("InitializeTableFromTextFile", "InitializeTableFromTextFileV2"),
        *("WholeFileReader", "WholeFileReaderV2", "TextLineReader", "TextLineReaderV2"),
        *("FixedLengthRecordReader", "FixedLengthRecordReaderV2", "LMDBReader"),
        *("TFRecordReader", "TFRecordReaderV2", "IdentityReader", "IdentityReaderV2"),
        *("TextLineDataset", "TFRecordDataset", "TFRecordDatasetV2", "SqlDataset"),
        *("FixedLengthRecordDataset", "FixedLengthRecordDatasetV2", "LMDBDataset"),
        *("CSVDataset", "CSVDatasetV2", "CacheDataset", "CacheDatasetV2", "SaveDataset"),
        *("SaveDatasetV2", "LoadDataset", "SnapshotDataset", "SnapshotDatasetV2"),
        *("SnapshotDatasetReader", "SnapshotNestedDatasetReader", "DatasetToTFRecord"),
        *("CreateSummaryFileWriter", "CreateSummaryDbWriter", "FileSystemSetConfiguration"),
        *("DebugIdentity", "DebugIdentityV2", "DebugIdentityV3", "DebugNanCount"),
        *("DebugNumericSummary", "DebugNumericSummaryV2"),
    ),
    "processes and code": ("PyFunc", "PyFuncStateless", "EagerPyFunc", "GeneratorDataset"),
    "the network": (
        *("RemoteCall", "RegisterDataset", "RegisterDatasetV2", "ConfigureDistributedTPU"),
        *("DataServiceDataset", "DataServiceDatasetV2", "DataServiceDatasetV3"),
        *("DataServiceDatasetV4", "_Send", "_Recv"),
    ),
    "the terminal": ("Print", "PrintV2"),
}
CUSTOM = "a library that is not part of TensorFlow"

_REACH_OF = {op: reach for reach, ops in REACHES.items() for op in ops}
# Every SavedModel saves and restores its weights with these, so they are reported only if something
# other than the saver calls them.
_SAVER_OPS = frozenset(("SaveV2", "RestoreV2", "MergeV2Checkpoints", "ShardedFilename"))
_STRING = 7  # DT_STRING, tensorflow/core/framework/types.proto
_SUSPICIOUS_ARGUMENTS = ("file", "director", "address", "url")
# These take a file name but only join strings.
_HARMLESS = frozenset(("ShardedFilename", "ShardedFilespec"))


@dataclass(frozen=True)
class OpUse:
    """An op with effects beyond tensors.

    Attributes:
        op: Name of the op.
        reach: A key of `REACHES`, or `CUSTOM`.
        where: Name of its function, or "the graph itself".
        count: Number of occurrences there.
    """

    op: str
    reach: str
    where: str
    count: int


def inspect_ops(folder: Path) -> list[OpUse]:
    """Find the ops of a SavedModel that use files, processes, the network or custom libraries.

    All functions are inspected, whether or not a signature calls them. The graph is parsed and not
    executed.

    Args:
        folder: A SavedModel.

    Returns:
        The ops, sorted, without the SaveV2 and RestoreV2 of the saver.

    Raises:
        ModelError: The graph cannot be read.

    Reference:
        https://github.com/tensorflow/tensorflow/blob/master/SECURITY.md: a model is a program.
    """
    found: Counter[tuple[str, str, str]] = Counter()
    for graph in read_graphs(folder):
        functions = {each.signature.name: each for each in graph.graph_def.library.function}
        of_saver = _saver_nodes(graph)
        saver_calls = [node for node in graph.graph_def.node if node.name in of_saver]
        other_calls = [node for node in graph.graph_def.node if node.name not in of_saver]
        by_saver = _reachable(saver_calls, functions)
        # A function with other callers does not belong to the saver alone.
        others = [functions[name].node_def for name in functions if name not in by_saver]
        saver_only = by_saver - _reachable(itertools.chain(other_calls, *others), functions)
        places: list[tuple[str, Iterable[Any], bool]] = [
            ("the graph itself", other_calls, False),
            ("the graph itself", saver_calls, True),
        ]
        places += [
            (name, function.node_def, name in saver_only) for name, function in functions.items()
        ]
        for where, nodes, is_saver in places:
            for node in nodes:
                if is_saver and node.op in _SAVER_OPS:
                    continue
                reach = _reach(node.op, functions)
                if reach is not None:
                    found[node.op, reach, where] += 1
    return sorted(
        (OpUse(op, reach, where, count) for (op, reach, where), count in found.items()),
        key=lambda use: (use.reach, use.op, use.where),
    )


def read_graphs(folder: Path) -> list[Any]:
    """Parse the `MetaGraphDef`s of a SavedModel.

    Raises:
        ModelError: They cannot be read.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    path = folder / "saved_model.pb"
    saved = saved_model_pb2.SavedModel()
    try:
        saved.ParseFromString(path.read_bytes())
    except (OSError, DecodeError) as error:
        raise ModelError(f"The graph {path} cannot be read: {error}.") from error
    if not saved.meta_graphs:
        raise ModelError(f"The graph {path} is empty.")
    return list(saved.meta_graphs)


def _reach(op: str, functions: dict[str, Any]) -> str | None:
    from tensorflow.python.framework import op_def_registry

    if op in _REACH_OF:
        return _REACH_OF[op]
    if op in functions or op in _HARMLESS:
        return None
    definition = op_def_registry.get(op)
    if definition is None:
        return CUSTOM
    # Booleans such as `is_files` are not file names.
    arguments = [each.name for each in definition.input_arg if each.type == _STRING]
    arguments += [each.name for each in definition.attr if each.type in ("string", "list(string)")]
    if any(part in name for name in arguments for part in _SUSPICIOUS_ARGUMENTS):
        return "files"
    return None


def _saver_nodes(graph: Any) -> set[str]:
    """Names of the nodes that save or restore weights."""
    inputs = {
        node.name: [each.lstrip("^").partition(":")[0] for each in node.input]
        for node in graph.graph_def.node
    }
    saver = graph.saver_def
    wanted = [saver.save_tensor_name.partition(":")[0], saver.restore_op_name]
    nodes: set[str] = set()
    while wanted:
        name = wanted.pop()
        if name in inputs and name not in nodes:
            nodes.add(name)
            wanted += inputs[name]
    return nodes


def _reachable(nodes: Iterable[Any], functions: dict[str, Any]) -> set[str]:
    """Functions that nodes call, directly or indirectly."""
    reached: set[str] = set()
    waiting = list(_called(nodes, functions))
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += _called(functions[name].node_def, functions)
    return reached


def _called(nodes: Iterable[Any], functions: dict[str, Any]) -> Iterator[str]:
    for node in nodes:
        if node.op in functions:
            yield node.op
        for value in node.attr.values():
            for function in (value.func, *value.list.func):
                if function.name in functions:
                    yield function.name
