"""Requests that schemathesis makes from the OpenAPI document find nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from avel_tf.config import Config
from avel_tf.serving.model_worker import ModelSpec
from avel_tf.serving.server import ServerOptions
from avel_tf.serving.settings import ServingSettings
from tests.conftest import FLOAT32
from tests.serving.running import Running, running

# Checks that do not apply. Requests can be valid by the document and yet be refused: it cannot say
# that a file is a video, a text XML, or a tensor of the model's shape, or that a stretch ends after
# its start and within the video.
_BEYOND_DOCUMENT = "positive_data_acceptance"
_LEFT_OUT = {
    "POST /api/v1/videos": [_BEYOND_DOCUMENT],
    "POST /v1/video/events": [_BEYOND_DOCUMENT],
    "POST /predict": [_BEYOND_DOCUMENT],
    "POST /api/v1/videos/{video}/annotations": [_BEYOND_DOCUMENT],
    # DELETE rejects an event of the model, which can still be changed.
    "PATCH /api/v1/videos/{video}/annotations": [_BEYOND_DOCUMENT, "use_after_free"],
    "PATCH /api/v1/videos/{video}/annotations/{annotation}": [_BEYOND_DOCUMENT, "use_after_free"],
    "DELETE /api/v1/videos/{video}/annotations": ["use_after_free"],
    "DELETE /api/v1/videos/{video}/annotations/{annotation}": ["use_after_free"],
    # The path is also that of a GET for a model with another name.
    "POST /v1/models/{name}:predict": [_BEYOND_DOCUMENT, "unsupported_method"],
    "POST /v1/models/{name}/versions/{version}:predict": [_BEYOND_DOCUMENT],
    "POST /v2/models/{name}/infer": [_BEYOND_DOCUMENT],
    "POST /v2/models/{name}/versions/{version}/infer": [_BEYOND_DOCUMENT],
    # A job that was cancelled by DELETE can still be read.
    "GET /api/v1/jobs/{job}": ["use_after_free"],
    "DELETE /api/v1/jobs/{job}": ["use_after_free"],
    "GET /api/v1/jobs/{job}/events": ["use_after_free"],
}


def test_the_document_names_every_error(fake: Running) -> None:
    document = fake.get("/openapi.json")
    assert document["openapi"].startswith("3.")
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation["description"], (method, path)
            assert "default" in operation["responses"], (method, path)
    assert not [name for name in document["components"]["schemas"] if "HTTPValidation" in name]


def _configuration(server: Running) -> str:
    """Known identifiers, so that requests get beyond status 404."""
    content = next(server.server.data.rglob("*.mp4")).read_bytes()
    kept, removed = (server.upload(name, content) for name in ("kept.mp4", "removed.mp4"))
    server.wait(removed["job"])
    text = f"""
[parameters]
"path.video" = "{kept["video"]}"
"path.job" = "{kept["job"]}"
"path.annotation" = "e0"
"path.name" = "tiny"
"path.version" = "1"

[[operations]]
include-name = "DELETE /api/v1/videos/{{video}}"
[operations.parameters]
"path.video" = "{removed["video"]}"
"""
    for name, checks in _LEFT_OUT.items():
        text += f'[[operations]]\ninclude-name = "{name}"\n[operations.checks]\n'
        text += "".join(f"{check}.enabled = false\n" for check in checks)
    return text


@pytest.mark.slow
def test_schemathesis_finds_nothing(exported: Path, clips: Path, folder: Path) -> None:
    program = shutil.which("schemathesis", path=os.path.dirname(sys.executable))
    if program is None:
        pytest.skip("schemathesis is not installed: pip install 'avel-tf[test]'")
    limits = ServingSettings(requests_per_minute=10**6, queue=10**5, upload_idle_seconds=5.0)
    spec = ModelSpec(str(exported), config=replace(Config(), serving=limits, engine=FLOAT32))
    shutil.copytree(clips, folder / "data", dirs_exist_ok=True)
    with running(ServerOptions(folder / "data", folder / "state", spec)) as server:
        (folder / "schemathesis.toml").write_text(_configuration(server))
        words = ["--max-examples=20", "--generation-deterministic", "--no-color"]
        words += ["--request-timeout=60", "--exclude-path=/api/v1/events", "--phases"]
        words += ["examples,coverage,fuzzing,stateful"]
        run = subprocess.run(
            [program, "run", f"{server.url}/openapi.json", *words],
            cwd=folder,
            capture_output=True,
            text=True,
        )
    print(run.stdout[-20_000:])
    assert run.returncode == 0, run.stderr
