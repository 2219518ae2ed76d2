import numpy as np
import pytest

from benchmarks.gpu import crossover, measure, parity_rows, rule_rows, speed_table
from benchmarks.ways import CannotRun, bound, cpu_ways, plain, session
from service.models.artifacts.artifact import Artifact, read_artifact
from service.models.runtime.batching_plan import MIN_SPEEDUP
from service.models.runtime.session import CPU
from service.tasks import TASKS
from tests.artifacts import write_artifact


@pytest.fixture(scope="module", params=["heart", "digits"])
def artifact(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    models = tmp_path_factory.mktemp("models")
    write_artifact(models, TASKS[request.param])
    return read_artifact(models, request.param)


def test_every_batch_size_is_measured_and_repeats_the_golden_answers(artifact: Artifact) -> None:
    """On the CPU, every way has a time for each batch size and repeats the golden answers."""
    ways = cpu_ways(artifact.model, artifact.card.contract)
    measured = measure(artifact, [1, 70], 0, ways)
    assert measured.refused == {}
    assert all(list(times) == [1, 70] for times in measured.seconds.values())
    assert all(row[-1] == "repeated" for row in parity_rows(artifact, measured))
    table = speed_table("heart/1", measured.seconds)
    assert [row[0] for row in table.rows] == ["1", "70"]


def test_the_decisions_of_the_service_are_made_by_its_own_rule(artifact: Artifact) -> None:
    """Each device has a line: a row's time, where it is computed, and whether it is batched."""
    ((model, device, us, single, speedup, batched),) = rule_rows(artifact, ["cpu"])
    assert (model, device) == (artifact.card.name, "cpu")
    assert float(us) > 0
    # A graph of a few nodes takes less time than waking a thread.
    assert single == "on the event loop"
    assert batched == "no" or float(speedup) >= MIN_SPEEDUP
    assert float(speedup) <= MIN_SPEEDUP or batched.startswith("on the event loop, up to")


def test_bound_tensors_give_the_answers_of_a_plain_run(artifact: Artifact) -> None:
    """IOBinding, here with tensors in the CPU's memory, gives each batch the answers of a run."""
    contract, (rows, _) = artifact.card.contract, artifact.golden()
    made = session(artifact.model, CPU)
    run = bound(made, contract, 2, device="cpu")
    for batch in (rows[:2], rows[2:4]):
        expected = plain(made, contract)(batch)
        got = run(batch)
        assert got.keys() == expected.keys()
        # Exact, because the same kernels run on the same machine.
        assert all(np.array_equal(got[name], expected[name]) for name in expected)


def test_a_way_that_cannot_run_is_left_out_with_its_reason(artifact: Artifact) -> None:
    """A graph that CUDA cannot capture has no times, but the first line of the reason."""

    def refuse(_rows: int) -> None:
        raise CannotRun("not all nodes are on CUDA\nand more")

    measured = measure(artifact, [1], 0, {"CUDA graph": refuse})  # type: ignore[dict-item]
    assert measured.seconds == {}
    assert measured.refused == {"CUDA graph": "not all nodes are on CUDA"}
    assert parity_rows(artifact, measured)[0][-1] == "not all nodes are on CUDA"


def test_a_session_on_another_provider_than_requested_is_refused(artifact: Artifact) -> None:
    """ONNX Runtime's silent fallback to the CPU is an error, so that no CPU time counts as CUDA."""
    provider = (
        "TensorrtExecutionProvider"  # its libraries are not installed in any of our environments
    )
    with pytest.raises(CannotRun, match=provider):
        session(artifact.model, provider)


CPU_TIMES = {1: 1.0, 8: 8.0, 32: 32.0}


@pytest.mark.parametrize(
    ("cuda", "expected"),
    [
        ({1: 5.0, 8: 5.0, 32: 5.0}, 8),
        ({1: 0.5, 8: 5.0, 32: 5.0}, 1),
        ({1: 0.5, 8: 5.0, 32: 50.0}, None),  # CUDA has to stay quicker from there on
        ({}, None),
    ],
)
def test_the_crossover_is_where_cuda_begins_to_be_quicker(
    cuda: dict[int, float], expected: int | None
) -> None:
    """CUDA stays quicker from the crossover on; TF32 does not count, as the service has it off."""
    seconds = {
        "CPU, 1 thread": CPU_TIMES,
        "CUDA": cuda,
        "CUDA, TF32": dict.fromkeys(CPU_TIMES, 0.0),
    }
    assert crossover(seconds) == expected
