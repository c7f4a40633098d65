"""Open Inference Protocol (KServe v2): metadata and inference, with binary tensors.

Reference:
    https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol and Triton's
    binary tensor data extension.
"""

from __future__ import annotations

import asyncio
import json
import math
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Request, Response

from avel_tf import __version__
from avel_tf.serving.errors import ApiError
from avel_tf.serving.predictions import OUTPUTS, Input, predict, served_model
from avel_tf.serving.routes.schemas import Name
from avel_tf.serving.server import Server, server_of

router = APIRouter(prefix="/v2")
_Server = Annotated[Server, Depends(server_of)]
_NAMES = {"uint8": "UINT8", "float32": "FP32", "int64": "INT64", "bool": "BOOL"}
_TYPES = {
    **{f"UINT{bits}": f"<u{bits // 8}" for bits in (8, 16, 32, 64)},
    **{f"INT{bits}": f"<i{bits // 8}" for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": f"<f{bits // 8}" for bits in (16, 32, 64)},
    "BOOL": "?",
}
_HEADER = "Inference-Header-Content-Length"
_INFER: dict[str, Any] = {
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "required": ["inputs"],
                        "properties": {
                            "id": {"type": "string"},
                            "inputs": {"type": "array", "items": {"type": "object"}},
                            "outputs": {"type": "array", "items": {"type": "object"}},
                            "parameters": {"type": "object"},
                        },
                    }
                }
            },
        }
    },
    "responses": {200: {"content": {"application/json": {}, "application/octet-stream": {}}}},
    "response_class": Response,
}


@router.get("")
async def server_metadata() -> dict[str, Any]:
    """Name, version and extensions of the server."""
    return {"name": "avel-tf", "version": __version__, "extensions": ["binary_tensor_data"]}


@router.get("/models/{name}")
@router.get("/models/{name}/versions/{version}", include_in_schema=False)
async def model_metadata(name: Name, server: _Server, version: str | None = None) -> dict[str, Any]:
    """Inputs and outputs of the present model."""
    model = await served_model(server.model, name, version)
    inputs = {**model.clips, **model.features}
    return {
        "name": model.name,
        "versions": [model.version],
        "platform": "avel_tf",
        "inputs": _metadata(inputs),
        "outputs": _metadata(model.outputs()),
    }


@router.get("/models/{name}/ready", response_class=Response)
@router.get("/models/{name}/versions/{version}/ready", include_in_schema=False)
async def model_ready(name: Name, server: _Server, version: str | None = None) -> Response:
    """Answer 200 when the model can infer, 503 while it is loaded."""
    if not server.model.ready:
        raise ApiError(503, "The model is not loaded yet.", retry_after=5)
    await served_model(server.model, name, version)
    return Response()


@router.post("/models/{name}/infer", **_INFER)
async def infer(request: Request, name: Name, server: _Server) -> Response:
    """Label the segments of clips, given as frames and waveform or as features."""
    return await _infer(request, name, None, server)


@router.post("/models/{name}/versions/{version}/infer", **_INFER)
async def infer_version(request: Request, name: Name, version: Name, server: _Server) -> Response:
    """The same, of one version."""
    return await _infer(request, name, version, server)


async def _infer(request: Request, name: str, version: str | None, server: Server) -> Response:
    model = await served_model(server.model, name, version)
    body = await request.body()
    length = request.headers.get(_HEADER)
    content, inputs = await asyncio.to_thread(_parse, body, length)
    wanted = content.get("outputs") or [{"name": each} for each in OUTPUTS]
    names = [each["name"] for each in wanted]
    if unknown := [each for each in names if each not in OUTPUTS]:
        raise ApiError(400, f"There is no output {unknown[0]!r}. Outputs: {', '.join(OUTPUTS)}.")
    outputs = await predict(server.model, model, inputs)
    default = bool(content.get("parameters", {}).get("binary_data_output", False))
    binary = [
        name
        for name, each in zip(names, wanted, strict=True)
        if each.get("parameters", {}).get("binary_data", default)
    ]
    answer: dict[str, Any] = {"model_name": model.name, "model_version": model.version}
    if "id" in content:
        answer["id"] = content["id"]
    return await asyncio.to_thread(_answer, answer, names, outputs, binary)


def _parse(body: bytes, length: str | None) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Content of a request, and its inputs as arrays.

    Raises:
        ApiError: It does not follow the protocol.
    """
    try:
        size = len(body) if length is None else int(length)
        if not 0 <= size <= len(body):
            raise ValueError(f"{_HEADER} is {size}, but the body has {len(body)} bytes")
        content = json.loads(body[:size])
        data = memoryview(body)[size:]
        arrays = {}
        for each in content["inputs"]:
            if each["name"] in arrays:
                raise ValueError(f"the input {each['name']!r} is given twice")
            arrays[str(each["name"])], data = _tensor(each, data)
        if len(data):
            raise ValueError(f"{len(data)} bytes follow the last tensor")
        for each in content.get("outputs") or ():
            _ = each["name"], each.get("parameters", {}).get("binary_data")
        _ = content.get("parameters", {}).get("binary_data_output")
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise ApiError(400, f"The request does not follow the protocol: {what}.") from error
    return content, arrays


def _tensor(tensor: dict[str, Any], data: memoryview) -> tuple[np.ndarray, memoryview]:
    """Array of a tensor, and the bytes after it."""
    dtype = _TYPES.get(tensor["datatype"])
    if dtype is None:
        raise ValueError(f"the datatype {tensor['datatype']!r} is not one of {', '.join(_TYPES)}")
    shape = [int(each) for each in tensor["shape"]]
    if any(each < 0 for each in shape):
        raise ValueError(f"the shape {shape} has a negative size")
    size = tensor.get("parameters", {}).get("binary_data_size")
    if size is None:
        array = np.array(tensor["data"], dtype)
    else:
        if size != math.prod(shape) * np.dtype(dtype).itemsize or size > len(data):
            raise ValueError(
                f"{tensor['name']!r} has binary_data_size {size}, which does not fit its shape "
                f"{shape} or the {len(data)} bytes that are left"
            )
        array, data = np.frombuffer(data[:size], dtype), data[size:]
    return array.reshape(shape), data


def _answer(
    answer: dict[str, Any],
    names: list[str],
    outputs: dict[str, np.ndarray],
    binary: list[str],
) -> Response:
    tensors, parts = [], []
    for name in names:
        values = outputs[name]
        tensor: dict[str, Any] = {
            "name": name,
            "datatype": _NAMES[values.dtype.name],
            "shape": list(values.shape),
        }
        if name in binary:
            parts.append(np.ascontiguousarray(values).tobytes())
            tensor["parameters"] = {"binary_data_size": len(parts[-1])}
        else:
            tensor["data"] = values.reshape(-1).tolist()
        tensors.append(tensor)
    header = json.dumps({**answer, "outputs": tensors}).encode()
    if not parts:
        return Response(header, media_type="application/json")
    return Response(
        b"".join([header, *parts]),
        media_type="application/octet-stream",
        headers={_HEADER: str(len(header))},
    )


def _metadata(tensors: dict[str, Input]) -> list[dict[str, Any]]:
    return [
        {"name": name, "datatype": _NAMES[each.dtype], "shape": list(each.shape)}
        for name, each in tensors.items()
    ]
