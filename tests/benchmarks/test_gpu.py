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
    """The CPU half, which runs anywhere: a time for each batch, and no distance to speak of."""
    ways = cpu_ways(artifact.model, artifact.card.contract)
    measured = measure(artifact, [1, 70], 0, ways)
    assert measured.refused == {}
    assert all(list(times) == [1, 70] for times in measured.seconds.values())
    assert all(row[-1] == "repeated" for row in parity_rows(artifact, measured))
    table = speed_table("heart/1", measured.seconds)
    assert [row[0] for row in table.rows] == ["1", "70"]


def test_what_the_service_decides_is_by_its_own_rule(artifact: Artifact) -> None:
    """For every device: a row's time, where it is computed, whether callers share runs."""
    ((model, device, us, alone, pays, shared),) = rule_rows(artifact, ["cpu"])
    assert (model, device) == (artifact.card.name, "cpu")
    assert float(us) > 0
    # A graph of a few nodes is far quicker than a thread can be woken.
    assert alone == "on the event loop"
    assert shared == "no" or float(pays) >= MIN_SPEEDUP
    assert float(pays) <= MIN_SPEEDUP or shared.startswith("on the event loop, up to")


def test_bound_tensors_give_the_answers_of_a_plain_run(artifact: Artifact) -> None:
    """The code that CUDA runs, with its tensors in the CPU's memory; batches do not mix."""
    contract, (rows, _) = artifact.card.contract, artifact.golden()
    made = session(artifact.model, CPU)
    run = bound(made, contract, 2, device="cpu")
    for batch in (rows[:2], rows[2:4]):
        expected = plain(made, contract)(batch)
        got = run(batch)
        assert got.keys() == expected.keys()
        # The same kernels on the same machine.
        assert all(np.array_equal(got[name], expected[name]) for name in expected)


def test_a_way_that_cannot_run_is_left_out_with_its_reason(artifact: Artifact) -> None:
    """As a graph that CUDA cannot capture."""

    def refuse(_rows: int) -> None:
        raise CannotRun("not all nodes are on CUDA\nand more")

    measured = measure(artifact, [1], 0, {"CUDA graph": refuse})  # type: ignore[dict-item]
    assert measured.seconds == {}
    assert measured.refused == {"CUDA graph": "not all nodes are on CUDA"}
    assert parity_rows(artifact, measured)[0][-1] == "not all nodes are on CUDA"


def test_a_session_that_is_not_where_it_was_asked_for_is_refused(artifact: Artifact) -> None:
    """ONNX Runtime alone would go on with the CPU, and its times would be called CUDA's."""
    provider = "TensorrtExecutionProvider"  # its libraries are in none of our environments
    with pytest.raises(CannotRun, match=provider):
        session(artifact.model, provider)


CPU_TIMES = {1: 1.0, 8: 8.0, 32: 32.0}


@pytest.mark.parametrize(
    ("cuda", "expected"),
    [
        ({1: 5.0, 8: 5.0, 32: 5.0}, 8),
        ({1: 0.5, 8: 5.0, 32: 5.0}, 1),
        ({1: 0.5, 8: 5.0, 32: 50.0}, None),  # from there on: a lucky small batch is no crossover
        ({}, None),
    ],
)
def test_the_crossover_is_where_cuda_begins_to_be_quicker(
    cuda: dict[int, float], expected: int | None
) -> None:
    """And stays so; TF32, which the service does not use, does not count."""
    seconds = {
        "CPU, 1 thread": CPU_TIMES,
        "CUDA": cuda,
        "CUDA, TF32": dict.fromkeys(CPU_TIMES, 0.0),
    }
    assert crossover(seconds) == expected
