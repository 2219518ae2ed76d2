from benchmarks.contenders import Contender
from benchmarks.load import Load
from benchmarks.rounds import Round, compare, heart_row, medians
from benchmarks.single_row import contender_table, speed_table


def a_round(rate: int) -> Round:
    load = Load(
        requests=rate, failed=0, seconds=1, p50_ms=1000 / rate, p90_ms=2, p99_ms=3, max_ms=4
    )
    return Round(ready_seconds=1, memory_mb=None, many=load, alone=load)


def test_the_table_has_medians_and_says_how_far_rounds_went() -> None:
    """One bad round of three changes the range only; the quickest server comes first."""
    figures = {
        "plain FastAPI": medians([a_round(rate) for rate in (2000, 100, 2100)]),
        "Foretell": medians([a_round(rate) for rate in (8000, 7900, 300)]),
    }
    ours, plain = speed_table(figures).rows
    assert ours[:4] == ["Foretell", "7,900", "300..8,000", "1.00"]
    assert plain[:4] == ["plain FastAPI", "2,000", "100..2,100", "3.95"]


def test_memory_that_is_not_known_is_left_open() -> None:
    """The cell of an unknown memory is empty: only Linux has /proc to read it from."""
    assert speed_table({"Foretell": medians([a_round(1000)])}).rows[0][-1] == ""


def test_a_server_that_never_ran_is_in_the_table_with_its_reason() -> None:
    """The comparison goes on without the server and gives the reason."""
    broken = Contender(name="broken", arguments="-m no_such_module", note="")
    measured, missing = compare([broken], heart_row(), rounds=2, seconds=1)
    assert measured == {}
    [row] = contender_table([broken], {}, missing).rows
    assert row[0] == "broken"
    assert row[2].startswith("not measured: did not start: ")
    assert "No module named no_such_module" in row[2]
