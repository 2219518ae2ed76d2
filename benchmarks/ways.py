"""Ways to run one batch through a graph, each from an array of this process to its answers.

Those on CUDA follow ONNX Runtime's documentation (execution-providers/CUDA-ExecutionProvider.html,
api/python/api_summary.html). All copy the batch to the device and the answers back, as a service
has to.
"""

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from service.contract.signature import Contract, Tensor
from service.models.runtime.session import CPU, CUDA

Batch = NDArray[Any]
Answers = dict[str, NDArray[Any]]
Run = Callable[[Batch], Answers]
Prepare = Callable[[int], Run]
"""A function that prepares a run for batches of a given number of rows."""


class CannotRun(Exception):
    """ONNX Runtime cannot run a graph on a device in this way; the message says why."""


def session(model: Path, provider: str, threads: int = 1, **provider_options: str) -> Any:
    """Return an ONNX Runtime session. Raises CannotRun unless it is on the requested provider."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    providers: list[Any] = [(provider, provider_options)]
    if provider != CPU:
        providers.append(CPU)
    try:
        made = ort.InferenceSession(model, options, providers=providers)
    except Exception as error:  # ONNX Runtime raises a dozen types for it
        raise CannotRun(str(error).strip().splitlines()[0]) from error
    if made.get_providers()[0] != provider:
        raise CannotRun(f"expected {provider}, got {made.get_providers()[0]}")
    return made


def plain(made: Any, contract: Contract) -> Run:
    """Return a run by `session.run`: ONNX Runtime copies the batch and allocates the answers."""
    names = [output.name for output in contract.outputs]

    def run(batch: Batch) -> Answers:
        return dict(zip(names, made.run(names, {contract.input.name: batch}), strict=True))

    return run


def bound(made: Any, contract: Contract, rows: int, *, device: str = "cuda", graph: int = 0) -> Run:
    """Return a run by IOBinding with tensors made once; `graph` > 0 is the id of a CUDA graph.

    The graph of an id is captured in its first run and replayed from then on. It needs a session
    with `enable_cuda_graph` and fixed shapes, so every batch size needs an id of its own.
    """
    inside, outside = _tensor(contract.input, rows, device), {}
    binding = made.io_binding()
    binding.bind_ortvalue_input(contract.input.name, inside)
    for output in contract.outputs:
        outside[output.name] = _tensor(output, rows, device)
        binding.bind_ortvalue_output(output.name, outside[output.name])
    options = ort.RunOptions()
    if graph:
        options.add_run_config_entry("gpu_graph_id", str(graph))

    def run(batch: Batch) -> Answers:
        inside.update_inplace(batch)
        made.run_with_iobinding(binding, options)
        return {name: value.numpy() for name, value in outside.items()}

    return run


def _tensor(tensor: Tensor, rows: int, device: str) -> Any:
    shape = [rows if size is None else size for size in tensor.shape]
    dtype = np.dtype(tensor.dtype).type
    return ort.OrtValue.ortvalue_from_shape_and_type(shape, dtype, device, 0)


def cpu_ways(model: Path, contract: Contract) -> dict[str, Prepare]:
    """Return the ways on the CPU, by name: one thread, as in the service, and all cores."""
    cores = os.cpu_count() or 1
    ways = {"CPU, 1 thread": plain(session(model, CPU), contract)}
    if cores > 1:
        ways[f"CPU, {cores} threads"] = plain(session(model, CPU, cores), contract)
    return {name: _for_any_size(run) for name, run in ways.items()}


def _for_any_size(run: Run) -> Prepare:
    return lambda _rows: run


def cuda_ways(model: Path, contract: Contract) -> dict[str, Prepare]:
    """Return the ways on CUDA, by name: plain run, IOBinding, CUDA graph, plain run with TF32."""
    made = session(model, CUDA, use_tf32="0")
    capturing = cache(lambda: session(model, CUDA, use_tf32="0", enable_cuda_graph="1"))
    rounding = cache(lambda: session(model, CUDA, use_tf32="1"))
    return {
        "CUDA": lambda _rows: plain(made, contract),
        "CUDA, IOBinding": lambda rows: bound(made, contract, rows),
        "CUDA graph": lambda rows: bound(capturing(), contract, rows, graph=rows),
        "CUDA, TF32": lambda _rows: plain(rounding(), contract),
    }
