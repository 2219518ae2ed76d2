"""LitServe on the digits model: multipart uploads, decoded by Foretell's own service/images/pixels.

Needs the repository on PYTHONPATH besides peers/. Decoding happens in the worker, as LitServe's
examples do it; one worker, one API server, no batching.
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
    """A file in, a digit and its probabilities out."""

    def setup(self, device: str) -> None:
        """Load, once a worker; one thread, as Foretell runs it."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self.session = ort.InferenceSession(DIGITS, options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name

    def decode_request(self, request: Request) -> NDArray[np.uint8]:
        """The form's `file`: for requests of this type, LitServe hands over their form."""
        return read_digit(request["file"].file.read())

    def predict(self, picture: NDArray[np.uint8]) -> dict[str, Any]:
        """Of one picture."""
        names = [output.name for output in self.session.get_outputs()]
        values = self.session.run(names, {self.input: picture[None]})
        return {name: value[0].tolist() for name, value in zip(names, values, strict=True)}

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        """The answer."""
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
