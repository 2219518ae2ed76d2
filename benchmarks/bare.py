"""An ASGI function that validates a row and computes it: the lower bound on any server's time."""

from typing import Any

import numpy as np
import onnxruntime as ort
from pydantic import TypeAdapter
from starlette.types import Receive, Scope, Send

from service.models.artifacts.artifact import read_artifact
from service.settings.settings import Settings
from service.tasks.heart import Patient

options = ort.SessionOptions()
options.intra_op_num_threads = 1
model = read_artifact(Settings().models_dir, "heart").model
session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
patient_of = TypeAdapter(Patient).validate_json
HEADERS = [(b"content-type", b"application/json")]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a POST with the probability of its row, and any GET (readiness) with `true`."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    answer = b"true" if scope["method"] == "GET" else await _predict(receive)
    length = (b"content-length", b"%d" % len(answer))
    start: Any = {"type": "http.response.start", "status": 200, "headers": [*HEADERS, length]}
    await send(start)
    await send({"type": "http.response.body", "body": answer})


async def _predict(receive: Receive) -> bytes:
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    row = np.array([list(patient_of(body).model_dump().values())], np.float32)
    return b'{"probability":%a}' % float(session.run(None, {"features": row})[0][0])


async def _lifespan(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})
