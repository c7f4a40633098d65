"""avel doctor: versions, engines, codecs and modules of this machine, and checks of a model."""

from __future__ import annotations

import argparse
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
    parser.add_argument(
        "--model", type=Path, metavar="SAVED_MODEL", help="also describe and check this model"
    )


def run(options: argparse.Namespace) -> int:
    """Print versions, engines, codecs, modules, the pretrained model and the given one."""
    from avel_tf.utils.lazy_imports import load_tensorflow

    load_tensorflow()
    import av
    import tensorflow as tf

    from avel_tf import __version__
    from avel_tf.embeddings.hub_module import ModuleUnavailableError, find_module
    from avel_tf.embeddings.recipe import library_version
    from avel_tf.embeddings.settings import RESNET_V2_152, VGGISH
    from avel_tf.engines.available import engines_for
    from avel_tf.engines.crashes import recorded_crashes
    from avel_tf.engines.int8_proof import findings
    from avel_tf.engines.settings import EngineSettings

    print(f"avel-tf {__version__}, Python {platform.python_version()}, {platform.platform()}")
    print(", ".join(f"{name} {library_version(name)}" for name in LIBRARIES))
    print(f"processors: {len(os.sched_getaffinity(0))}")
    gpus = tf.config.list_physical_devices("GPU")
    print(f"GPUs: {', '.join(gpu.name for gpu in gpus) or 'none'}")
    engines = ", ".join(each.description for each in engines_for(EngineSettings()))
    print(f"engines, fastest first: {engines}")
    for crash in recorded_crashes(EngineSettings()):
        print(
            f"  {crash.choice.description} crashed ({crash.fault}, {crash.date}) and is not used "
            f"with that model: delete {crash.path} to try it again"
        )
    for finding in findings(EngineSettings()):
        print(
            f"  openvino int8 {finding.network} is {'' if finding.accepted else 'not '}proven "
            f"({finding.date}): {finding}"
        )
    codecs = ("h264", "hevc", "vp9", "av1", "aac", "opus", "mp3")
    known = {name: name in av.codecs_available for name in codecs}
    print("codecs: " + ", ".join(f"{name} {'yes' if yes else 'NO'}" for name, yes in known.items()))
    print(f"TFHUB_CACHE_DIR: {os.environ.get('TFHUB_CACHE_DIR', 'not set')}")
    for handle in (RESNET_V2_152, VGGISH):
        try:
            print(f"module {handle}: {find_module(handle)}")
        except ModuleUnavailableError:
            print(f"module {handle}: not found, and it cannot be downloaded")
    _describe_pretrained()
    if options.model:
        _describe(options.model)
    return 0


def _describe_pretrained() -> None:
    """Prints the model that `avel infer` uses by default."""
    from avel_tf.export.exported_model import ExportedModel
    from avel_tf.export.manifest import ModelError
    from avel_tf.pretrained import describe, find_pretrained

    try:
        model = ExportedModel(find_pretrained())
        print(f"pretrained model: {model.folder}")
        print(*describe(model.default_classes or model.labels.names), sep="\n")
        if differences := model.mismatches():
            print(f"  files DO NOT MATCH the manifest: {'; '.join(differences)}")
    except ModelError as error:
        print(f"pretrained model: {error}")


def _describe(folder: Path) -> None:
    """Prints the manifest of a model and the unsafe operations of its graph, without running it."""
    from avel_tf.export.exported_model import ExportedModel
    from avel_tf.export.inspect import inspect_ops

    model = ExportedModel(folder)
    folder, manifest = model.folder, model.manifest
    differences = model.mismatches()
    print(f"model {model.name}: {manifest.get('model')}")
    print(f"  classes: {', '.join(map(str, manifest.get('labels') or ['none']))}")
    recipe = manifest.get("recipe")
    for name in ("visual", "audio"):
        print(f"  {name}: {recipe.get(name) if isinstance(recipe, dict) else 'no recipe'}")
    print(f"  measured: {manifest.get('metrics')}")
    if differences:
        print(f"  files DO NOT MATCH the manifest: {'; '.join(differences)}")
    else:
        print("  graph, weights, labels, configuration and recipe match the manifest")
    uses = inspect_ops(folder)
    for use in uses:
        times = f", {use.count} times" if use.count > 1 else ""
        print(f"  UNSAFE, accesses {use.reach}: {use.op} in {use.where}{times}")
    if not uses:
        print("  graph: no operation accesses files, processes, the network or other libraries")
    if uses:
        raise ValueError(
            f"The graph of {folder} has unsafe operations, listed above. Use the model only "
            "if you trust its author."
        )
    if differences:
        raise ValueError(f"{folder} was changed after its export.")
