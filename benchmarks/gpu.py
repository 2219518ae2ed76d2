"""Time, rows per second and parity of every model in batches of many sizes, on CPU and CUDA.

    python -m benchmarks.gpu [MODEL ...] [--batches 1 8 32 128 512 4096] [--seconds 0.3]

A last table has the service's decisions for each device when it loads a model: whether a row is
computed on the event loop or on a thread, and whether rows are batched. Without a GPU it says so
and measures the CPU only. Without names of models it measures all and writes results/gpu.json.
"""

import argparse
import math
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import onnxruntime as ort

from benchmarks.result import Table, write_result
from benchmarks.ways import Answers, Batch, Prepare, Run, cpu_ways, cuda_ways
from service.models.artifacts.artifact import Artifact, read_artifact
from service.models.artifacts.folder import list_models
from service.models.runtime.batching_plan import MAX_EVENT_LOOP_US, plan_batching
from service.models.runtime.session import Device, OnnxSession, cuda_obstacle
from service.settings.limits import QueueLimits
from service.settings.settings import Settings
from training.markdown import markdown

BATCHES = (1, 8, 32, 128, 512, 4096)
FEWEST_RUNS = 3


@dataclass
class Measured:
    """The figures of one model, by the way in which it was run."""

    seconds: dict[str, dict[int, float]] = field(default_factory=dict)
    """Median seconds of a batch, by way and number of rows."""
    gaps: dict[str, float] = field(default_factory=dict)
    """Largest distance to the golden answers, over all batch sizes."""
    refused: dict[str, str] = field(default_factory=dict)
    """ONNX Runtime's reason for each way that cannot run."""


def measure(
    artifact: Artifact, batches: list[int], seconds: float, ways: Mapping[str, Prepare]
) -> Measured:
    """Measure every way and batch size; skip a way that ONNX Runtime refuses, with its reason."""
    rows, golden = artifact.golden()
    measured = Measured()
    for name, prepare in ways.items():
        times: dict[int, float] = {}
        try:
            for count in batches:
                # The golden rows and answers, again and again.
                batch = np.resize(rows, (count, *rows.shape[1:]))
                run = prepare(count)
                gap = distance(run, batch, golden)
                measured.gaps[name] = max(gap, measured.gaps.get(name, 0.0))
                times[count] = median_seconds(run, batch, seconds)
        except Exception as reason:  # ONNX Runtime raises a dozen types for it
            measured.refused[name] = str(reason).strip().splitlines()[0]
            print(f"{artifact.card.name}, {name}: {measured.refused[name]}", flush=True)
        if times:
            measured.seconds[name] = times
    return measured


def distance(run: Run, batch: Batch, golden: Answers) -> float:
    """Return the largest distance of a batch's answers to the golden ones.

    The third run is compared: the first two choose kernels and capture the CUDA graph.
    """
    for _ in range(3):
        got = run(batch)
    return max(
        float(np.abs(got[name].astype(np.float64) - np.resize(wanted, got[name].shape)).max())
        for name, wanted in golden.items()
    )


def median_seconds(run: Run, batch: Batch, seconds: float) -> float:
    """Return the median seconds of one batch, over as many runs as fit into `seconds`."""
    times: list[float] = []
    while len(times) < FEWEST_RUNS or sum(times) < seconds:
        start = time.perf_counter()
        run(batch)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def crossover(seconds: Mapping[str, Mapping[int, float]]) -> int | None:
    """Return the smallest batch from which on CUDA is quicker than the CPU; None: it never is.

    The quickest way of each device counts, but not TF32: the service has it off.
    """
    found = None
    for count in sorted({count for times in seconds.values() for count in times}, reverse=True):
        if quickest(seconds, "CUDA", count) >= quickest(seconds, "CPU", count):
            break
        found = count
    return found


def quickest(seconds: Mapping[str, Mapping[int, float]], device: str, count: int) -> float:
    """Return the seconds of a device's quickest way; infinite if none can run."""
    ways = [way for way in seconds if way.startswith(device) and "TF32" not in way]
    return min((seconds[way].get(count, math.inf) for way in ways), default=math.inf)


def parity_rows(artifact: Artifact, measured: Measured) -> list[list[str]]:
    """Return a line for each way: its largest distance to the golden answers, and the tolerance."""
    card, rows = artifact.card, []
    for way, gap in measured.gaps.items():
        verdict = "repeated" if gap <= card.golden.tolerance else "not repeated"
        rows.append([card.name, way, f"{gap:.1e}", f"{card.golden.tolerance:g}", verdict])
    return rows + [[card.name, way, "", "", reason] for way, reason in measured.refused.items()]


def rule_rows(artifact: Artifact, devices: Sequence[Device]) -> list[list[str]]:
    """Return the batching plan that the service makes for a model on each device."""
    lines, (rows, _) = [], artifact.golden()
    for name in devices:
        session = OnnxSession(artifact.model, name)
        found = plan_batching(session, rows[0], QueueLimits())
        alone = "on the event loop" if found.row_us <= MAX_EVENT_LOOP_US else "on a thread"
        shared = "on the event loop" if found.on_loop else "on a thread"
        shared = f"{shared}, up to {found.buckets[-1]} rows" if found.on else "no"
        lines.append(
            [
                artifact.card.name,
                name,
                f"{found.row_us:,.1f}",
                alone,
                f"{found.speedup:.2f}",
                shared,
            ]
        )
    return lines


def speed_table(title: str, seconds: Mapping[str, Mapping[int, float]]) -> Table:
    """Return a table with a line for each batch size: milliseconds and rows per second by way."""
    rows = []
    for count in sorted({count for times in seconds.values() for count in times}):
        cells = [
            f"{times[count] * 1000:,.3f} ms, {count / times[count]:,.0f}/s"
            if count in times
            else ""
            for times in seconds.values()
        ]
        rows.append([f"{count:,}", *cells])
    return Table(title=title, head=["rows", *seconds], rows=rows)


def device() -> str:
    """Return the name of the GPU and the version of its driver, from nvidia-smi."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        run = subprocess.run(query, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError) as error:
        return f"a GPU that nvidia-smi does not name ({error})"
    name, _, driver = run.stdout.strip().splitlines()[0].partition(", ")
    return f"{name}, driver {driver}"


def main() -> None:
    """Measure, print, and write results/gpu.json."""
    models_dir = Settings().models_dir
    known = list_models(models_dir)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help=", ".join(known))
    parser.add_argument("--batches", nargs="+", type=int, default=list(BATCHES), metavar="ROWS")
    parser.add_argument("--seconds", type=float, default=0.3, help="of each measurement")
    chosen = parser.parse_args()
    if unknown := set(chosen.models) - set(known):
        parser.error(f"expected models of {', '.join(known)}, got {', '.join(sorted(unknown))}")
    if min(chosen.batches) < 1:
        parser.error(f"--batches: expected at least 1 row, got {min(chosen.batches)}")
    obstacle = cuda_obstacle()
    where = f"CPU columns only: {obstacle}." if obstacle else f"On {device()}."
    print(where, flush=True)

    devices: tuple[Device, ...] = ("cpu",) if obstacle else ("cpu", "cuda")
    tables, lines, decided, raw = [], [], [], {}
    for name in chosen.models or known:
        artifact = read_artifact(models_dir, name)
        ways = cpu_ways(artifact.model, artifact.card.contract)
        if obstacle is None:
            ways |= cuda_ways(artifact.model, artifact.card.contract)
        measured = measure(artifact, chosen.batches, chosen.seconds, ways)
        lines += parity_rows(artifact, measured)
        decided += rule_rows(artifact, devices)
        title = f"{name}/{artifact.card.version}{verdict(measured) if obstacle is None else ''}"
        tables.append(speed_table(title, measured.seconds))
        print(f"\n{title}\n\n{markdown(tables[-1].head, tables[-1].rows)}", flush=True)
        raw[name] = asdict(measured)
    head = ["model", "way", "largest distance", "tolerated", "golden answers"]
    tables.append(Table(title="Parity with the golden answers", head=head, rows=lines))
    print(f"\n{markdown(head, lines)}")
    head = ["model", "device", "row, us", "a single row", "speedup", "batched"]
    title = "Decisions of the service when it loads a model"
    tables.append(Table(title=title, head=head, rows=decided))
    print(f"\n{title}\n\n{markdown(head, decided)}")
    if chosen.models:
        return
    write_result(
        "gpu",
        title="CPU and GPU",
        command="python -m benchmarks.gpu",
        notes=[f"{where} ONNX Runtime {ort.__version__}. {NOTE}"],
        tables=tables,
        raw=raw,
    )


def verdict(measured: Measured) -> str:
    """Return in words from which batch size on CUDA is quicker."""
    count = crossover(measured.seconds)
    return f": CUDA is quicker from {count:,} rows on" if count else ": CUDA is never quicker"


NOTE = (
    "Median time of one batch and rows per second, from an array in this process to its answers; "
    "on CUDA this includes the copies to the device and back. CUDA runs without TF32, as in the "
    "service, except in the column that names it; IOBinding uses tensors made once; a CUDA graph "
    "is captured for each batch size."
)

if __name__ == "__main__":
    main()
