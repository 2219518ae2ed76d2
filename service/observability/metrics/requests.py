"""Requests by route, method and status, and how long they took."""

from bisect import bisect_left
from collections.abc import Container

from starlette.types import Scope

from service.observability.metrics.shared_counters import Metric, SharedCounters

BOUNDS = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025),
    *(0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
"""Upper ends of the histograms' buckets, in seconds; the last bucket has none."""
COLUMNS = (*map(str, BOUNDS), "+Inf", "seconds")
SECONDS = len(COLUMNS) - 1
HTTP = Metric("http", ("route", "method", "status"), COLUMNS)
GRPC = Metric("grpc", ("method", "code"), COLUMNS)

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER = "other"
"""What callers make up, under one name: paths without a route, methods that none has."""
UNANSWERED = "none"
"""The status where the caller went away first."""


class Requests:
    """Counts requests. For the event loop alone."""

    def __init__(self, counters: SharedCounters, known: Container[str] = ()) -> None:
        """`known` are paths of routes whose calls may be answered ahead of routing."""
        self._counters, self._known = counters, known
        self._rows: dict[tuple[str, str, int], memoryview[float]] = {}
        """By path, of those that are routes themselves: there are only so many."""

    def count(self, scope: Scope, status: int, seconds: float) -> None:
        """One more; `status` is 0 if it was not answered."""
        try:
            values = self._rows[scope["path"], scope["method"], status]
        except KeyError:
            values = self._find(scope, status)
        values[bisect_left(BOUNDS, seconds)] += 1
        values[SECONDS] += seconds

    def _find(self, scope: Scope, status: int) -> "memoryview[float]":
        path, method = scope["path"], scope["method"]
        template = scope.get("template") or getattr(scope.get("route"), "path", None)
        if template is None:
            template = path if path in self._known else OTHER
        known = method if method in METHODS else OTHER
        code = str(status) if status else UNANSWERED
        values = self._counters.series(HTTP, template, known, code).values
        if template == path and known == method:
            self._rows[path, method, status] = values
        return values


class Calls:
    """Counts calls by gRPC. For the event loop alone."""

    def __init__(self, counters: SharedCounters) -> None:
        self._counters = counters

    def count(self, method: str, code: str, seconds: float) -> None:
        """One more, with the name of its status code."""
        values = self._counters.series(GRPC, method, code).values
        values[bisect_left(BOUNDS, seconds)] += 1
        values[SECONDS] += seconds
