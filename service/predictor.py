"""One ONNX Runtime session behind one `predict(array) -> arrays`."""

import ctypes
import statistics
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime as ort
import structlog
from numpy.typing import NDArray

from service.contract import Contract, Tensor
from service.errors import ArtifactError, DeviceUnavailable

log = structlog.get_logger("foretell")

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
# TF32 rounds the inputs of matrix products to 10 bits of mantissa: too coarse for golden answers.
CUDA_OPTIONS = {"use_tf32": "0"}
NUMPY_NAMES = {"tensor(float)": "float32", "tensor(uint8)": "uint8", "tensor(int64)": "int64"}

Device = Literal["auto", "cpu", "cuda"]


class Predictor:
    """A loaded graph. Safe to call from several threads at once."""

    def __init__(self, model: Path, device: Device = "auto") -> None:
        """Load a graph onto a device.

        Raises DeviceUnavailable if `cuda` was asked for and does not work (ONNX Runtime alone would
        go on with the CPU and a line in its log), ArtifactError if the file is no loadable graph.
        """
        obstacle = None if device == "cpu" else cuda_obstacle()
        if device == "cuda" and obstacle:
            raise DeviceUnavailable(f"device cuda was asked for, but {obstacle}")
        use_cuda = device != "cpu" and obstacle is None
        providers: list[Any] = [(CUDA, CUDA_OPTIONS), CPU] if use_cuda else [CPU]
        try:
            self._session = ort.InferenceSession(model, _options(), providers=providers)
        except Exception as error:  # the runtime raises a dozen types, all of them meaning this
            raise ArtifactError(f"ONNX Runtime cannot load {model.name}: {error}") from error
        if use_cuda and self.provider != CUDA:
            fallback = (
                f"ONNX Runtime runs on {self.provider}: its CUDA libraries did not load "
                "(pip install 'foretell[cuda]')"
            )
            if device == "cuda":
                raise DeviceUnavailable(f"device cuda was asked for, but {fallback}")
            log.warning("no CUDA in spite of a driver", reason=fallback)
        self.input = _tensor(self._session.get_inputs()[0])
        self.outputs = tuple(_tensor(output) for output in self._session.get_outputs())
        # Attributes of pydantic models cost more than a small graph's nodes.
        self._input, self._names = self.input.name, [output.name for output in self.outputs]

    @property
    def provider(self) -> str:
        """The execution provider in use, not the one asked for."""
        return str(self._session.get_providers()[0])

    def predict(self, batch: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Run the graph on N rows; every output by its name."""
        results = self._session.run(self._names, {self._input: batch})
        return dict(zip(self._names, results, strict=True))

    def check_signature(self, contract: Contract) -> None:
        """Raises ArtifactError unless the graph's tensors are those of the contract."""
        expected, got = (contract.input, *contract.outputs), (self.input, *self.outputs)
        if expected != got:
            raise ArtifactError(f"the graph's tensors differ: expected {expected}, got {got}")

    def check_golden(
        self, batch: NDArray[Any], answers: dict[str, NDArray[Any]], tolerance: float
    ) -> None:
        """Raises ArtifactError unless the graph repeats the golden answers, in bulk and row by row.

        Doubles as the warm-up: the first run of a shape is the slow one, seconds on CUDA.
        """
        for rows in (batch, batch[:1], batch[1:4]):
            offset = 1 if len(rows) == 3 else 0
            for name, got in self.predict(rows).items():
                wanted = answers[name][offset : offset + len(rows)]
                gap = float(np.max(np.abs(got.astype(np.float64) - wanted)))
                if not gap <= tolerance:
                    raise ArtifactError(
                        f"golden answers differ on {self.provider}: output {name!r}, "
                        f"{len(rows)} rows, by {gap:.2g}; tolerated: {tolerance:g}"
                    )

    def row_us(self, row: NDArray[Any]) -> float:
        """Median microseconds of one row (1 in the first dimension), of a few dozen runs."""
        times = []
        for _ in range(30):
            start = time.perf_counter()
            self.predict(row)
            times.append(time.perf_counter() - start)
        return statistics.median(times) * 1e6


def _options() -> ort.SessionOptions:
    # One thread a session and no spinning: the service scales by processes, and a model of
    # 10 us gains nothing from waking other threads.
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return options


def cuda_obstacle() -> str | None:
    """Why CUDA cannot be used here, or None. Asked first, because ONNX Runtime only logs it."""
    if CUDA not in ort.get_available_providers():
        return "the installed ONNX Runtime has no CUDA in it (install onnxruntime-gpu)"
    try:
        ctypes.CDLL("nvcuda.dll" if hasattr(ctypes, "WinDLL") else "libcuda.so.1")
    except OSError as error:
        return f"there is no NVIDIA driver: {error}"
    ort.preload_dlls()
    return None


def _tensor(value: Any) -> Tensor:
    dtype = NUMPY_NAMES.get(value.type)
    if dtype is None:
        raise ArtifactError(f"tensor {value.name!r} is of an unexpected type: {value.type}")
    shape = tuple(size if isinstance(size, int) else None for size in value.shape)
    return Tensor.model_validate({"name": value.name, "dtype": dtype, "shape": shape})
