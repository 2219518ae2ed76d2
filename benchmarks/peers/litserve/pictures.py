"""The picture server of LitServe: multipart uploads, decoded by Foretell's service/images/pixels.

It needs the repository on PYTHONPATH besides peers/. The worker decodes, as in LitServe's examples;
one worker, one API server, no batching.
"""

import sys
from typing import Any

import litserve
import numpy as np
import onnxruntime as ort
from fastapi import Request
from heart import MODEL
from numpy.typing import NDArray

from service.images.pixels import read_digit

DIGITS = MODEL.parents[2] / "digits" / "1" / "model.onnx"


class DigitsAPI(litserve.LitAPI):
    """A LitServe API that takes an uploaded file and answers a digit and its probabilities."""

    def setup(self, device: str) -> None:
        """Load the model once per worker, on one thread as Foretell does."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self.session = ort.InferenceSession(DIGITS, options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name

    def decode_request(self, request: Request) -> NDArray[np.uint8]:
        """Decode the form's `file`; LitServe passes the form of a request of this type."""
        return read_digit(request["file"].file.read())

    def predict(self, picture: NDArray[np.uint8]) -> dict[str, Any]:
        """Return the outputs of the model for one picture."""
        names = [output.name for output in self.session.get_outputs()]
        values = self.session.run(names, {self.input: picture[None]})
        return {name: value[0].tolist() for name, value in zip(names, values, strict=True)}

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        """Return the answer unchanged."""
        return output


if __name__ == "__main__":
    server = litserve.LitServer(DigitsAPI(), accelerator="cpu", fast_queue=True)
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[1]),
        num_api_servers=1,
        log_level="warning",
        generate_client_file=False,
        access_log=False,
    )
