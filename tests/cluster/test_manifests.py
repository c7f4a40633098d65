"""The cluster files of docs/scale are what Ray and this package expect."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
import yaml

from avel_tf.cli.main import command_parser

ray = pytest.importorskip("ray")
FOLDER = Path(__file__).resolve().parents[2] / "docs" / "scale"


def test_the_cluster_file_matches_the_schema_of_ray():
    jsonschema = pytest.importorskip("jsonschema")
    schema = Path(ray.__file__).parent / "autoscaler" / "ray-schema.json"
    cluster = yaml.safe_load((FOLDER / "ray-cluster.yaml").read_text())
    jsonschema.validate(cluster, json.loads(schema.read_text()))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**cluster, "no_such_key": 1}, json.loads(schema.read_text()))
    assert cluster["head_node_type"] in cluster["available_node_types"]


def test_the_job_of_kuberay_runs_a_command_of_this_package():
    job = yaml.safe_load((FOLDER / "kuberay.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    words = shlex.split(job["spec"]["entrypoint"])
    assert words[:2] == ["avel", "infer"]
    options = command_parser("infer").parse_args(words[2:])
    assert options.ray == "auto" and options.out.startswith("s3://")
    cluster = job["spec"]["rayClusterSpec"]
    # The head processes no files, so that none can end it.
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    images = {
        container["image"]
        for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])
        for container in group["template"]["spec"]["containers"]
    }
    assert len(images) == 1
    for group in cluster["workerGroupSpecs"]:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
