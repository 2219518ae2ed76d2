"""A typed FastAPI route around an ONNX Runtime session: the usual first way to serve a model."""

import numpy as np
import onnxruntime as ort
from fastapi import FastAPI

from service.models.artifacts.artifact import read_artifact
from service.settings.settings import Settings
from service.tasks.heart import Patient

options = ort.SessionOptions()
options.intra_op_num_threads = 1
model = read_artifact(Settings().models_dir, "heart").model
session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
app = FastAPI()


@app.get("/readyz")
async def ready() -> bool:
    """Return true: the model is loaded at import."""
    return True


@app.post("/v1/heart/predict")
async def predict(patient: Patient) -> dict[str, float]:
    """Return the probability of one row."""
    row = np.array([list(patient.model_dump().values())], np.float32)
    return {"probability": float(session.run(None, {"features": row})[0][0])}
