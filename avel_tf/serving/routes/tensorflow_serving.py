"""REST API of TensorFlow Serving: predict, status and metadata of the present model.

Reference:
    https://www.tensorflow.org/tfx/serving/api_rest
"""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel

from avel_tf.serving.errors import ApiError
from avel_tf.serving.predictions import Input, ServedModel, predict, served_model
from avel_tf.serving.routes.schemas import Body, Name
from avel_tf.serving.server import Server, server_of

router = APIRouter(prefix="/v1/models")
_Server = Annotated[Server, Depends(server_of)]
# TensorFlow's names of the types.
_TYPES = {"uint8": "DT_UINT8", "float32": "DT_FLOAT", "int64": "DT_INT64", "bool": "DT_BOOL"}


class Predict(Body):
    """Clips as rows (`instances`) or as columns (`inputs`)."""

    signature_name: Literal["serving_default", "from_features"] = "serving_default"
    instances: list[dict[str, Any]] | None = None
    inputs: dict[str, Any] | None = None


class Predictions(BaseModel):
    """Outputs as rows of `instances`, or as columns of `inputs`."""

    predictions: list[dict[str, Any]] | None = None
    outputs: dict[str, Any] | None = None


class Status(BaseModel):
    """State of the versions of a model."""

    model_version_status: list[dict[str, Any]]


@router.post("/{name}:predict", response_model=Predictions)
async def predict_latest(name: Name, body: Predict, server: _Server) -> Response:
    """Label the segments of clips, given as frames and waveform or as features."""
    return await _predict(name, None, body, server)


@router.post("/{name}/versions/{version}:predict", response_model=Predictions)
async def predict_version(name: Name, version: Name, body: Predict, server: _Server) -> Response:
    """The same, of one version."""
    return await _predict(name, version, body, server)


@router.get("/{name}")
async def status(name: Name, server: _Server) -> Status:
    """State of the model."""
    model = await served_model(server.model, name)
    state = {
        "version": model.version,
        "state": "AVAILABLE",
        "status": {"error_code": "OK", "error_message": ""},
    }
    return Status(model_version_status=[state])


@router.get("/{name}/metadata")
async def metadata(name: Name, server: _Server) -> dict[str, Any]:
    """Signatures of the model."""
    model = await served_model(server.model, name)
    signatures = {
        "serving_default": _signature(model.clips, model),
        "from_features": _signature(model.features, model),
    }
    return {
        "model_spec": {"name": model.name, "signature_name": "", "version": model.version},
        "metadata": {"signature_def": {"signature_def": signatures}},
    }


async def _predict(name: str, version: str | None, body: Predict, server: Server) -> Response:
    model = await served_model(server.model, name, version)
    if (body.instances is None) == (body.inputs is None):
        raise ApiError(400, "Give either 'instances', a list of clips, or 'inputs', by name.")
    if body.instances is not None:
        if not body.instances:
            raise ApiError(400, "'instances' is empty; give at least one clip.")
        names = body.instances[0].keys()
        if any(each.keys() != names for each in body.instances):
            raise ApiError(400, "All 'instances' must have the same inputs.")
        inputs = {name: [each[name] for each in body.instances] for name in names}
    else:
        inputs = body.inputs or {}
    outputs = await predict(server.model, model, inputs)
    content = await asyncio.to_thread(_as_json, outputs, body.instances is not None)
    return Response(content, media_type="application/json")


def _as_json(outputs: dict[str, np.ndarray], rows: bool) -> str:
    lists = {name: values.tolist() for name, values in outputs.items()}
    if not rows:
        return json.dumps({"outputs": lists})
    each = [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]
    return json.dumps({"predictions": each})


def _signature(inputs: dict[str, Input], model: ServedModel) -> dict[str, Any]:
    method = "tensorflow/serving/predict"
    outputs = model.outputs()
    return {"inputs": _infos(inputs), "outputs": _infos(outputs), "method_name": method}


def _infos(tensors: dict[str, Input]) -> dict[str, Any]:
    return {
        name: {
            "dtype": _TYPES[each.dtype],
            "tensor_shape": {
                "dim": [{"size": str(size), "name": ""} for size in each.shape],
                "unknown_rank": False,
            },
            "name": name,
        }
        for name, each in tensors.items()
    }
