from benchmarks.http_protocols import Pair, spread, summary, turns
from benchmarks.load import Load


def load(requests: int) -> Load:
    return Load(requests=requests, failed=0, seconds=1, p50_ms=1, p90_ms=1, p99_ms=1, max_ms=1)


def test_a_ratio_is_of_one_round_and_its_spread_is_told() -> None:
    """A round that the machine slowed down for both does not move the ratio."""
    rounds = [Pair(ours=load(2 * n), other=load(n)) for n in (1000, 10, 500)]
    (row,) = summary({"1 connection": rounds}).rows
    assert row[:4] == ["1 connection", "1,000", "500", "2.000"]
    assert spread([1.0, 1.1, 1.2, 1.3, 2.0]) == ["1.200", "1.100..1.300", "1.000..2.000"]
    assert spread([1.5]) == ["1.500", "1.500..1.500", "1.500..1.500"]


def test_either_service_goes_first_in_every_other_round() -> None:
    """Or the second would always find a machine that the first has warmed."""
    order: list[str] = []

    def loaded(name: str, requests: int) -> Load:
        order.append(name)
        return load(requests)

    found = turns(2, lambda: loaded("ours", 3), lambda: loaded("other", 2))
    assert order == ["ours", "other", "other", "ours"]
    assert [pair.rate for pair in found] == [1.5, 1.5]
