"""Requests by route, method and status, and how long they took."""

from bisect import bisect_left
from collections.abc import Container

from starlette.types import Scope

from service.observability.metrics.families import Counter, Histogram
from service.observability.metrics.shared_counters import Metric, SharedCounters

BOUNDS = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025),
    *(0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
"""Upper ends of the histograms' buckets, in seconds; the last bucket has none."""
COLUMNS = (*map(str, BOUNDS), "+Inf", "seconds")
SECONDS = len(COLUMNS) - 1


def _metric(protocol: str, labels: tuple[str, ...], calls: str) -> Metric:
    """Declare the metric of one protocol's calls; the last label says how a call ended."""
    return Metric(
        protocol,
        labels,
        COLUMNS,
        (
            Counter(f"foretell_{protocol}_requests_total", f"{calls} answered", COLUMNS[:SECONDS]),
            Histogram(
                f"foretell_{protocol}_request_duration_seconds", f"Time to answer {calls}", BOUNDS
            ),
        ),
    )


HTTP = _metric("http", ("route", "method", "status"), "HTTP requests")
GRPC = _metric("grpc", ("method", "code"), "gRPC calls")

REFUSED = Metric(
    "http_refused",
    ("reason",),
    ("connections",),
    (
        Counter(
            "foretell_http_refused_total",
            "Connections that were refused or cut before a request was answered",
            ("connections",),
        ),
    ),
)
"""Reasons: `malformed`, `head_size`, `head_time`, `body_time`, `answer_time`, `connections`,
`crash`."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER = "other"
"""The label of what callers make up: paths without a route, methods that no route has."""
UNANSWERED = "none"
"""The status where the caller went away first."""


class Requests:
    """Counts HTTP requests. For the event loop alone."""

    def __init__(self, counters: SharedCounters, known: Container[str] = ()) -> None:
        """Count on `counters`; `known` are paths whose calls may be answered ahead of routing."""
        self._counters, self._known = counters, known
        self._by_call: dict[tuple[str, str, int], memoryview[float]] = {}
        """By path, method and status, for paths that are routes themselves: those are few."""

    def count(self, scope: Scope, status: int, seconds: float) -> None:
        """Count one request; `status` is 0 if it was not answered."""
        try:
            values = self._by_call[scope["path"], scope["method"], status]
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
            self._by_call[path, method, status] = values
        return values


class Calls:
    """Counts gRPC calls. For the event loop alone."""

    def __init__(self, counters: SharedCounters) -> None:
        self._counters = counters

    def count(self, method: str, code: str, seconds: float) -> None:
        """Count one call; `code` is the name of its status."""
        values = self._counters.series(GRPC, method, code).values
        values[bisect_left(BOUNDS, seconds)] += 1
        values[SECONDS] += seconds
