"""A graph that ONNX Runtime has loaded: `run(array) -> arrays` on one device."""

import ctypes
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import numpy as np
import onnxruntime as ort
import structlog
from numpy.typing import ArrayLike, NDArray

from service.contract.signature import Contract, Tensor
from service.errors import ArtifactError, DeviceUnavailable
from service.models.runtime.measurement import Measurement, measure
from service.observability.metrics.families import Counter
from service.observability.metrics.shared_counters import Metric, Series

log = structlog.get_logger("foretell")

RUNTIME_VERSION: str = ort.__version__
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
# TF32 rounds the inputs of matrix products to 10 bits of mantissa: too coarse for golden answers.
CUDA_OPTIONS = {"use_tf32": "0"}
MAX_CPU_ROWS = 1024
"""Rows of one call of the graph on the CPU; what its layers make of more outgrows the caches."""
NUMPY_NAMES = {"tensor(float)": "float32", "tensor(uint8)": "uint8", "tensor(int64)": "int64"}

Device = Literal["auto", "cpu", "cuda"]

BATCHES_RUN = Metric(
    "computed",
    ("model", "version"),
    ("runs", "rows", "seconds", "singles", "single_seconds"),
    (
        Counter(
            "foretell_model_batches_total",
            "Batches that the graph of a model computed",
            ("runs", "singles"),
        ),
        Counter(
            "foretell_model_rows_total",
            "Rows that the graph of a model computed",
            ("rows", "singles"),
        ),
        Counter(
            "foretell_model_inference_seconds_total",
            "Time in the graph of a model",
            ("seconds", "single_seconds"),
        ),
    ),
)
"""Runs of sessions for any purpose: predictions, explanations, a shadow. Runs of single rows, which
are most, are counted apart from those of batches."""
SINGLES, SINGLE_SECONDS = 3, 4


class OnnxSession:
    """A loaded graph, safe to call from several threads at once except for `run_row`."""

    def __init__(self, model: Path | bytes, device: Device = "auto") -> None:
        """Load a graph, a file or its content, onto a device.

        Raises DeviceUnavailable if `cuda` was asked for and does not work (ONNX Runtime alone would
        fall back to the CPU and log a line), ArtifactError if the file is no loadable graph.
        """
        obstacle = None if device == "cpu" else cuda_obstacle()
        if device == "cuda" and obstacle:
            raise DeviceUnavailable(f"device cuda was asked for, but {obstacle}")
        use_cuda = device != "cpu" and obstacle is None
        providers: list[Any] = [(CUDA, CUDA_OPTIONS), CPU] if use_cuda else [CPU]
        name = "model.onnx" if isinstance(model, bytes) else model.name
        try:
            self._session = ort.InferenceSession(model, _options(), providers=providers)
        except Exception as error:  # the runtime raises a dozen types, all of them meaning this
            raise ArtifactError(f"ONNX Runtime cannot load {name}: {error}") from error
        if use_cuda and self.provider != CUDA:
            fallback = (
                f"ONNX Runtime runs on {self.provider}: its CUDA libraries did not load "
                "(requirements/service-cuda.txt lists them)"
            )
            if device == "cuda":
                raise DeviceUnavailable(f"device cuda was asked for, but {fallback}")
            log.warning("no CUDA in spite of a driver", reason=fallback)
        self.input = _tensor(self._session.get_inputs()[0])
        self.outputs = tuple(_tensor(output) for output in self._session.get_outputs())
        # Attributes of pydantic models cost more than a small graph's nodes.
        self._input, self._names = self.input.name, [output.name for output in self.outputs]
        self.batches_run = Series.detached(BATCHES_RUN)

    @property
    def provider(self) -> str:
        """The execution provider in use, which may not be the one asked for."""
        return str(self._session.get_providers()[0])

    def run(self, batch: NDArray[Any], pad_to: int = 0) -> dict[str, NDArray[Any]]:
        """Return the graph's outputs for N rows, by name, each with N rows.

        CUDA computes `pad_to` rows, if that is more: each new shape costs it a search for kernels.
        """
        start = perf_counter()
        rows = len(batch)
        if rows < pad_to and self.provider == CUDA:
            batch = np.concatenate([batch, np.repeat(batch[-1:], pad_to - rows, axis=0)])
        results = self._run_slices(batch)
        self.batches_run.add(1, rows, perf_counter() - start)
        return {name: array[:rows] for name, array in zip(self._names, results, strict=True)}

    def _run_slices(self, batch: NDArray[Any]) -> list[NDArray[Any]]:
        if len(batch) <= MAX_CPU_ROWS or self.provider == CUDA:
            return list(self._session.run(self._names, {self._input: batch}))
        slices = (batch[at : at + MAX_CPU_ROWS] for at in range(0, len(batch), MAX_CPU_ROWS))
        runs = [self._session.run(self._names, {self._input: some}) for some in slices]
        return [np.concatenate(parts) for parts in zip(*runs, strict=True)]

    def run_row(self, values: ArrayLike | Sequence[float | None]) -> dict[str, NDArray[Any]]:
        """Return the graph's outputs for one row, by name, without allocating an array.

        Call it on one thread only, the event loop's. The next call overwrites the arrays.
        """
        bound = self._bound_row
        bound.input[0] = values
        start = perf_counter()
        self._session.run_with_iobinding(bound.binding)
        single = self.batches_run.values  # one thread's alone, as this method is: no lock
        single[SINGLE_SECONDS] += perf_counter() - start
        single[SINGLES] += 1
        return bound.outputs

    @cached_property
    def _bound_row(self) -> "BoundRow":
        return BoundRow(self._session.io_binding(), self.input, self.outputs)

    def check_signature(self, contract: Contract) -> None:
        """Check that the graph's tensors are those of the contract; raise ArtifactError if not."""
        expected, got = (contract.input, *contract.outputs), (self.input, *self.outputs)
        if expected != got:
            raise ArtifactError(f"the graph's tensors differ: expected {expected}, got {got}")

    def check_golden(
        self, batch: NDArray[Any], answers: dict[str, NDArray[Any]], tolerance: float
    ) -> None:
        """Check that the graph repeats the golden answers, in batches and row by row.

        This is the warm-up too: the first run of a shape is the slow one, seconds on CUDA. Raises
        ArtifactError.
        """
        for rows in (slice(None), slice(0, 1), slice(1, 4)):
            self._compare(self.run(batch[rows]), answers, rows, tolerance)
        for row in range(4):
            self._compare(self.run_row(batch[row]), answers, slice(row, row + 1), tolerance)

    def _compare(
        self,
        outputs: dict[str, NDArray[Any]],
        answers: dict[str, NDArray[Any]],
        rows: slice,
        tolerance: float,
    ) -> None:
        for name, got in outputs.items():
            gap = float(np.max(np.abs(got.astype(np.float64) - answers[name][rows])))
            if not gap <= tolerance:
                raise ArtifactError(
                    f"golden answers differ on {self.provider}: output {name!r}, "
                    f"{len(got)} rows, by {gap:.2g}; tolerated: {tolerance:g}"
                )

    def measure_row(self, row: NDArray[Any]) -> Measurement:
        """Return the time of one row, from 30 runs; none of them is counted. From any thread."""
        bound = BoundRow(self._session.io_binding(), self.input, self.outputs)
        bound.input[0] = row
        run = partial(self._session.run_with_iobinding, bound.binding)
        run()
        return measure(run, 30, computes=self.provider == CPU)

    def measure_batch(self, batch: NDArray[Any]) -> Measurement:
        """Return the time of a batch, from 7 runs after one that warms it up; none is counted."""
        self._run_slices(batch)
        return measure(partial(self._run_slices, batch), 7, computes=self.provider == CPU)


class BoundRow:
    """A session's binding to memory for one row's input and outputs, used again by every row."""

    def __init__(self, binding: ort.IOBinding, row: Tensor, outputs: Sequence[Tensor]) -> None:
        self.binding, self.input = binding, _one(row)
        self.outputs = {output.name: _one(output) for output in outputs}
        # On the CPU these share the arrays' memory; on CUDA the runtime copies to and fro.
        binding.bind_ortvalue_input(row.name, ort.OrtValue.ortvalue_from_numpy(self.input))
        for name, array in self.outputs.items():
            binding.bind_ortvalue_output(name, ort.OrtValue.ortvalue_from_numpy(array))


def _one(tensor: Tensor) -> NDArray[Any]:
    return np.zeros([1, *(size or 1 for size in tensor.shape[1:])], tensor.dtype)


def _options() -> ort.SessionOptions:
    # One thread a session and no spinning: the service scales by processes, and a run of 10 us
    # gains nothing from waking other threads.
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return options


def cuda_obstacle() -> str | None:
    """Return why CUDA cannot be used here, or None. ONNX Runtime itself would only log it."""
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
