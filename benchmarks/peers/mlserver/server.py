"""The server of MLServer: a custom ONNX runtime, called by the V2 protocol or by a custom handler.

V2 is how MLServer serves models: tensors in and out, decoded by its codecs. The handler is a typed
FastAPI route beside V2 that passes by MLServer's data plane. `parallel_workers=0` keeps the model
in the server's own process, as its documentation advises for small ones.
"""

import asyncio
import sys

import numpy as np
from heart import Heart, Patient
from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import NumpyCodec
from mlserver.handlers import custom_handler
from mlserver.types import InferenceRequest, InferenceResponse


class HeartModel(MLModel):
    """A model with one session, which runs on the event loop."""

    async def load(self) -> bool:
        """Load the model before the server says that it is ready."""
        self.heart = Heart()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Return float32[N] probabilities for float32[N, 13] rows of a V2 request."""
        rows = NumpyCodec.decode_input(payload.inputs[0])
        answer = np.array(self.heart.probabilities(rows), np.float32)
        outputs = [NumpyCodec.encode_output("probability", answer)]
        return InferenceResponse(model_name=self.name, outputs=outputs)

    @custom_handler(rest_path="/predict")
    async def predict_one(self, patient: Patient) -> dict[str, float]:
        """Return the probability of one row."""
        return {"probability": self.heart.probability(patient)}


async def main(port: int) -> None:
    """Serve until SIGTERM."""
    settings = Settings(
        debug=False,
        host="127.0.0.1",
        http_port=port,
        grpc_port=0,
        parallel_workers=0,
        metrics_endpoint=None,
        gzip_enabled=False,
    )
    await MLServer(settings).start([ModelSettings(name="heart", implementation=HeartModel)])


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
