"""avel doctor: what this machine and a model can do."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
from pathlib import Path

LIBRARIES = (
    "tensorflow",
    "keras",
    "tensorflow-hub",
    "tensorflow-io",
    "opencv-python",
    "librosa",
    "numpy",
    "av",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--model", type=Path, metavar="SAVED_MODEL", help="look at a model, too")


def run(options: argparse.Namespace) -> int:
    """Print versions, processors, codecs, where modules are found, and what a model is."""
    from avel_tf.utils.lazy_imports import load_tensorflow

    load_tensorflow()
    import av
    import tensorflow as tf

    from avel_tf import __version__
    from avel_tf.embeddings.hub_module import ModuleUnavailableError, find_module
    from avel_tf.embeddings.settings import RESNET_V2_152, VGGISH
    from avel_tf.engines.selection import engines_for
    from avel_tf.engines.settings import EngineSettings

    print(f"avel-tf {__version__}, Python {platform.python_version()}, {platform.platform()}")
    print(", ".join(f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES))
    print(f"processors: {len(os.sched_getaffinity(0))}")
    gpus = tf.config.list_physical_devices("GPU")
    print(f"GPUs: {', '.join(gpu.name for gpu in gpus) or 'none'}")
    engines = ", ".join(each.description for each in engines_for(EngineSettings()))
    print(f"engines, the fastest first: {engines}")
    codecs = ("h264", "hevc", "vp9", "av1", "aac", "opus", "mp3")
    known = {name: name in av.codecs_available for name in codecs}
    print("codecs: " + ", ".join(f"{name} {'yes' if yes else 'NO'}" for name, yes in known.items()))
    print(f"TFHUB_CACHE_DIR: {os.environ.get('TFHUB_CACHE_DIR', 'not set')}")
    for handle in (RESNET_V2_152, VGGISH):
        try:
            print(f"module {handle}: {find_module(handle)}")
        except ModuleUnavailableError:
            print(f"module {handle}: not found, and no network to fetch it from")
    _describe_pretrained()
    if options.model:
        _describe(options.model)
    return 0


def _describe_pretrained() -> None:
    """Print the model that `avel infer` uses when none is named."""
    from avel_tf.export.exported_model import ExportedModel
    from avel_tf.export.manifest import ModelError
    from avel_tf.pretrained import describe, find_pretrained

    try:
        model = find_pretrained()
        print(f"shipped model: {model}")
        print(*describe(model), sep="\n")
        if differences := ExportedModel(model).mismatches():
            print(f"  files DO NOT MATCH the manifest: {'; '.join(differences)}")
    except ModelError as error:
        print(f"shipped model: {error}")


def _describe(folder: Path) -> None:
    """Print a model's manifest and what its graph can reach, without running it."""
    from avel_tf.export.exported_model import ExportedModel
    from avel_tf.export.inspect import inspect_ops

    model = ExportedModel(folder)
    folder, manifest = model.folder, model.manifest
    differences = model.mismatches()
    print(f"model {model.name}: {manifest.get('model')}")
    print(f"  classes: {', '.join(map(str, manifest.get('labels') or ['not named']))}")
    recipe = manifest.get("recipe")
    for name in ("visual", "audio"):
        print(f"  {name}: {recipe.get(name) if isinstance(recipe, dict) else 'no recipe'}")
    print(f"  measured: {manifest.get('metrics')}")
    if differences:
        print(f"  files DO NOT MATCH the manifest: {'; '.join(differences)}")
    else:
        print("  graph and weights match the manifest, and so do labels, configuration and recipe")
    uses = inspect_ops(folder)
    for use in uses:
        times = f", {use.count} times" if use.count > 1 else ""
        print(f"  REACHES {use.reach}: {use.op} in {use.where}{times}")
    if not uses:
        print("  graph: no op touches files, processes, the network or foreign libraries")
    if uses:
        raise ValueError(
            f"The graph of {folder} does more than compute. Use it only if you trust who made it."
        )
    if differences:
        raise ValueError(f"{folder} was changed after its export.")
