"""/metrics: what it counts is what was sent, whoever of several workers is asked."""

import os
import signal
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)
from prometheus_client.parser import text_string_to_metric_families

from service.api.app import create_app
from service.api.http.metrics import exposition_of
from service.bulk.tables.job import BULK_JOBS
from service.models.runtime.session import BATCHES_RUN
from service.observability.metrics.shared_counters import SIZE, Metric, Series, SharedCounters
from service.observability.worker_slots import WorkerSlot, release
from service.settings.settings import Settings
from service.tasks import TASKS
from tests.artifacts import write_artifact
from tests.service.models.test_versions import label, publish
from tests.service.server.test_serving import ROW, Service, serving
from tests.service.server.test_workers import TWO, pids
from tests.waiting import wait_until

ROUTE = "/v1/heart/predict"
KIND = Metric("tests", ("name",), ("one", "two"))
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples_of(text: str) -> Samples:
    """Every sample of a scrape, by name and labels. Each comes once."""
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())
            assert key not in found
            found[key] = sample.value
    return found


def value(samples: Samples, name: str, **labels: str) -> float:
    """One sample, 0 if it is not there."""
    return samples.get((name, frozenset(labels.items())), 0.0)


def requests(samples: Samples, route: str, status: int | str, method: str = "POST") -> float:
    """Return the number of requests counted."""
    labels = {"route": route, "method": method, "status": str(status)}
    return value(samples, "foretell_http_requests_total", **labels)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder that a test may change."""
    for task in TASKS.values():
        write_artifact(tmp_path, task)
    return tmp_path


@pytest.fixture
def client(models: Path) -> Iterator[TestClient]:
    """A service that has counted nothing yet."""
    settings = Settings(models_dir=models, device="cpu", poll_seconds=0.05)
    with TestClient(create_app(settings), raise_server_exceptions=False) as started:
        wait_until(lambda: started.get("/readyz").status_code == 200)
        yield started


def scrape(client: TestClient) -> Samples:
    return samples_of(client.get("/metrics").raise_for_status().text)


def follow_labels(client: TestClient) -> None:
    """Return once calls go where the labels of heart say; the API shows labels a moment before."""
    client.app.state.registry.refresh("heart")  # type: ignore[attr-defined]


def test_requests_are_counted_by_route_method_and_status(client: TestClient) -> None:
    """Direct calls, framework's and the protocol's; refusals, 404 and 405 too."""
    for _ in range(7):
        client.post(ROUTE, json=ROW).raise_for_status()
    assert client.post(ROUTE, json={"age": 1000}).status_code == 422
    assert client.post(f"{ROUTE}?version=77", json=ROW).status_code == 404
    assert client.get(ROUTE).status_code == 405
    assert client.post("/v1/heart/explain", content=b"x" * 2**26).status_code == 413
    client.get("/v1/models/heart").raise_for_status()
    client.get("/v1/models/digits").raise_for_status()
    for version in ("/versions/1", "/versions/2", ""):
        client.post(f"/v2/models/heart{version}/infer", content=b"{}")
    found = scrape(client)
    assert requests(found, ROUTE, 200) == 7
    assert requests(found, ROUTE, 422) == requests(found, ROUTE, 404) == 1
    assert requests(found, ROUTE, 405, "GET") == 1
    assert requests(found, "/v1/heart/explain", 413) == 1
    assert requests(found, "/v1/models/{name}", 200, "GET") == 2
    assert requests(found, "/v2/models/{name}/infer", 400) == 1
    assert requests(found, "/v2/models/{name}/versions/{version}/infer", 400) == 1
    assert requests(found, "/v2/models/{name}/versions/{version}/infer", 404) == 1
    assert requests(scrape(client), "/metrics", 200, "GET") == 1


def test_histograms_hold_every_request(client: TestClient) -> None:
    """Buckets add up, and the last one is the count, whatever the status."""
    for row in (ROW, ROW, {"age": 1000}):
        client.post(ROUTE, json=row)
    found, labels = scrape(client), {"route": ROUTE, "method": "POST"}
    name = "foretell_http_request_duration_seconds"
    counts = [
        count
        for (sample, given), count in found.items()
        if sample == f"{name}_bucket" and labels.items() <= set(given)
    ]
    assert counts == sorted(counts)
    assert counts[-1] == value(found, f"{name}_count", **labels) == 3
    assert 0 < value(found, f"{name}_sum", **labels) < 30


def test_what_callers_make_up_becomes_no_label(client: TestClient) -> None:
    """Paths without a route, methods that none has, models that there are not."""
    before = len(scrape(client)) + 200  # some labels for each of the kinds below, once
    for number in range(300):
        client.get(f"/nothing/{number}")
        client.request(f"VERB{number}", ROUTE)
        client.get(f"/v2/models/model{number}/versions/{number}")
        client.get(f"/v2/{number}")
        client.post(f"{ROUTE}?model=model{number}", json=ROW)
    found = scrape(client)
    assert len(found) < before
    assert requests(found, "other", 404, "GET") == 600
    assert requests(found, ROUTE, 405, "other") == 300


def test_models_rows_and_time_are_counted(client: TestClient) -> None:
    """Rows of single calls, of arrays and of tables; not those that prove a version."""
    heart = {"model": "heart", "version": "1"}
    assert value(scrape(client), "foretell_model_rows_total", **heart) == 0
    client.post(ROUTE, json=ROW).raise_for_status()
    arrays = {"name": "features", "shape": [5, 13], "datatype": "FP32", "data": [0] * 65}
    client.post("/v2/models/heart/infer", json={"inputs": [arrays]}).raise_for_status()
    csv, kind = "age,sex\n60,1\n700,1\n50,0\n", {"content-type": "text/csv"}
    batch = f"{ROUTE}/batch"
    client.post(f"{batch}?on_error=report", content=csv, headers=kind).raise_for_status()
    assert client.post(batch, content=csv, headers=kind).status_code == 422
    found = scrape(client)
    assert value(found, "foretell_model_rows_total", **heart) == 1 + 5 + 2
    assert value(found, "foretell_model_batches_total", **heart) == 3
    assert 0 < value(found, "foretell_model_inference_seconds_total", **heart) < 1
    rows = "foretell_bulk_rows_total"
    assert value(found, rows, result="scored", **heart) == 2
    assert value(found, rows, result="refused", **heart) == 1
    assert value(found, "foretell_bulk_jobs_in_progress") == 0
    assert value(found, "foretell_v2_inferences_total", result="success", **heart) == 1
    info = {"task": "heart", "provider": "CPUExecutionProvider", **heart}
    assert value(found, "foretell_model_info", **info) == 1


def test_versions_loads_and_refusals_are_followed(client: TestClient, models: Path) -> None:
    """A new version, a broken one, and one that is gone."""
    gauge, loads = "foretell_model_default_workers", "foretell_model_loads_total"
    publish(models, "2")
    wait_until(lambda: value(scrape(client), gauge, model="heart", version="2") == 1)
    publish(models, "3", damaged=True)
    state = {"model": "heart", "version": "3", "state": "invalid"}
    wait_until(lambda: value(scrape(client), "foretell_model_version_workers", **state) == 1)
    found = scrape(client)
    assert value(found, gauge, model="heart", version="1") == 0
    for version in ("1", "2"):
        assert value(found, loads, model="heart", version=version, result="loaded") == 1
    assert value(found, loads, model="heart", version="3", result="invalid") >= 1


def test_canaries_and_shadows_are_counted(client: TestClient, models: Path) -> None:
    """The share that each version answers; how the shadow agrees, and by how much it differs."""
    publish(models, "2")
    gauge = "foretell_model_default_workers"
    wait_until(lambda: value(scrape(client), gauge, model="heart", version="2") == 1)
    label(models, stable="1", canary={"version": "2", "weight": 0.5})
    follow_labels(client)
    assert "canary" in client.get("/v1/models/heart").json()["canaries"]
    answered = [client.post(ROUTE, json=ROW).json()["model"]["version"] for _ in range(40)]
    found, name = scrape(client), "foretell_canary_calls_total"
    for version in ("1", "2"):
        counted = value(found, name, model="heart", version=version)
        assert counted == answered.count(version) > 0
    label(models, stable="1", next={"version": "2", "shadow": 1})
    follow_labels(client)
    assert client.get("/v1/models/heart").json()["shadow"] is not None
    for _ in range(9):
        client.post(ROUTE, json=ROW).raise_for_status()
    wait_until(lambda: client.get("/v1/models/heart").json()["shadow"]["rows"] == 9)
    found, shadow = scrape(client), client.get("/v1/models/heart").json()["shadow"]
    pair = {"model": "heart", "version": "1", "shadow": "2"}
    assert value(found, "foretell_shadow_rows_total", **pair) == 9
    agreed = value(found, "foretell_shadow_agreed_rows_total", **pair)
    assert agreed / 9 == shadow["agreement"]
    difference = value(found, "foretell_shadow_absolute_difference_total", **pair)
    assert difference / 9 == pytest.approx(shadow["mean_absolute_difference"])
    assert value(found, "foretell_shadow_dropped_calls_total", **pair) == 0


def test_readiness_is_that_of_readyz(client: TestClient) -> None:
    """Also while it drains."""
    assert value(scrape(client), "foretell_ready") == 1
    client.app.state.begin_drain()  # type: ignore[attr-defined]
    assert client.get("/readyz").status_code == 503
    assert value(scrape(client), "foretell_ready") == 0


@pytest.mark.parametrize(
    "accept", ["", "*/*", "text/plain;version=abc", "application/openmetrics-text;version=x", ";,="]
)
def test_any_accept_header_gets_an_answer(client: TestClient, accept: str) -> None:
    """In the plain format unless another is asked for that there is."""
    answer = client.get("/metrics", headers={"accept": accept}).raise_for_status()
    assert "foretell_ready 1.0" in answer.text


def test_openmetrics_is_spoken_to_who_asks_for_it(client: TestClient) -> None:
    """A scrape that accepts OpenMetrics gets text that Prometheus' own parser takes."""
    accept = {"accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4"}
    answer = client.get("/metrics", headers=accept)
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    parsed = openmetrics_families(answer.text)  # type: ignore[no-untyped-call]
    families = {family.name for family in parsed}
    assert {"foretell_http_requests", "foretell_ready"} <= families


def test_it_can_be_switched_off(models: Path) -> None:
    """Then there is no such path."""
    app = create_app(Settings(models_dir=models, device="cpu", metrics=False))
    with TestClient(app) as client:
        assert client.get("/metrics").status_code == 404


def both(service: Service) -> list[Samples]:
    """A scrape by each of two workers."""
    answered: dict[object, Samples] = {}

    def asked() -> bool:
        with httpx.Client(base_url=service.url) as fresh:
            answer = fresh.get("/metrics").raise_for_status()
        found = answer.headers["x-request-id"]
        wait_until(lambda: any(e.get("request_id") == found for e in service.of("request")))
        (versions,) = [e for e in service.of("request") if e.get("request_id") == found]
        answered[versions["pid"]] = samples_of(answer.text)
        return len(answered) >= 2

    wait_until(asked)
    return list(answered.values())


def ask(service: Service, times: int) -> None:
    for _ in range(times):
        httpx.post(f"{service.url}{ROUTE}", json=ROW).raise_for_status()


def test_workers_show_all_that_all_have_answered(models_dir: Path) -> None:
    """Also once one was killed: nothing is lost or told twice, and its successor counts on."""
    rows = {"model": "heart", "version": "1"}
    with serving(models_dir, **TWO) as service:
        ask(service, 30)
        wait_until(lambda: len(pids(service)) == 2)  # by chance, once in 2**29
        for found in both(service):
            assert requests(found, ROUTE, 200) == 30
            assert value(found, "foretell_model_rows_total", **rows) == 30
            assert value(found, "foretell_workers_ready") == value(found, "foretell_ready") * 2 == 2
            assert value(found, "foretell_model_default_workers", **rows) == 2
            memory = "process_resident_memory_bytes"
            assert all(value(found, memory, worker=number) > 2**20 for number in "01")
        killed = service.of("worker started")[0]["worker_pid"]
        assert isinstance(killed, int)
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: len(service.of("worker ready")) == 3)
        ask(service, 30)
        for found in both(service):
            assert requests(found, ROUTE, 200) == 60
            assert value(found, "foretell_model_rows_total", **rows) == 60
            assert value(found, "foretell_model_default_workers", **rows) == 2
            loads = "foretell_model_loads_total"
            assert value(found, loads, result="loaded", **rows) == 3
            restarts = "foretell_worker_restarts_total"
            assert [value(found, restarts, worker=number) for number in "01"] == [1, 0]


def test_a_worker_that_died_counts_no_more_until_it_has_a_successor(models: Path) -> None:
    """However often; what it had counted stays."""
    counted, rows = [bytearray(SIZE), bytearray(SIZE)], {"model": "heart", "version": "1"}
    app = create_app(Settings(models_dir=models, device="cpu"), WorkerSlot(0, [0, 1], counted))
    gauges = ["foretell_workers_ready", "foretell_bulk_jobs_in_progress"]
    with TestClient(app) as client:
        wait_until(lambda: client.get("/readyz").status_code == 200)
        client.post(ROUTE, json=ROW).raise_for_status()

        def shown() -> list[float]:
            found = scrape(client)
            standing = value(found, "foretell_model_default_workers", **rows)
            ready = value(found, "foretell_model_version_workers", state="ready", **rows)
            return [standing, ready, *(value(found, gauge) for gauge in gauges)]

        def begin() -> SharedCounters:
            other = SharedCounters(counted, 1)
            replace(app.state, counters=other).record_states()
            other.series(BULK_JOBS).values[0] = 1
            other.series(BATCHES_RUN, "heart", "1").add(0, 5)
            return other

        begin()
        assert shown() == [2, 2, 2, 1]
        for died in (1, 2):
            assert release(counted, 1)
            assert shown() == [1, 1, 1, 0]
            found, name = scrape(client), "foretell_worker_restarts_total"
            assert [value(found, name, worker=number) for number in "01"] == [0, died]
            assert value(found, "foretell_workers") == 2
            assert value(found, "foretell_model_rows_total", **rows) == 1 + 5 * died
            begin()
        assert shown() == [2, 2, 2, 1]


def test_one_worker_counts_what_was_sent(models_dir: Path) -> None:
    """Through real connections."""
    with serving(models_dir) as service:
        ask(service, 10)
        found = samples_of(httpx.get(f"{service.url}/metrics").text)
    assert requests(found, ROUTE, 200) == 10
    assert value(found, "foretell_workers") == 1


def test_a_place_is_taken_over_where_its_worker_left_it() -> None:
    """Records are found again; one that was half written is written over."""
    places = [bytearray(SIZE), bytearray(SIZE)]
    first, second = SharedCounters(places, 0), SharedCounters(places, 1)
    first.series(KIND, "a").add(1, 2)
    second.series(KIND, "a").add(10)
    used = struct.unpack_from("<Q", places[0])[0]
    places[0][used : used + 50] = b"\xff" * 50  # it died before it said so
    successor = SharedCounters(places, 0)
    successor.series(KIND, "a").add(1)
    successor.series(KIND, 'b"\n').add(5)
    assert second.totals(KIND) == {("a",): [12, 2], ('b"\n',): [5, 0]}
    assert second.per_worker(KIND)[1] == {("a",): [10, 0]}
    assert second.total(KIND, "c") == [0, 0]


def test_a_place_that_is_full_counts_no_more_and_breaks_nothing() -> None:
    """Series that exist already go on being counted."""
    counters = SharedCounters([bytearray(256)])
    rows: list[Series] = [counters.series(KIND, str(number)) for number in range(20)]
    for row in rows:
        row.add(1)
    shown = counters.totals(KIND)
    assert 2 <= len(shown) < 20
    assert set(map(tuple, shown.values())) == {(1, 0)}
    assert counters.series(KIND, "19") is rows[19]


def test_every_family_is_documented() -> None:
    """docs/operate/metrics.md has each by its name."""
    app = create_app(Settings())
    text = (Path(__file__).parents[3] / "docs" / "operate" / "metrics.md").read_text()
    for family in exposition_of(app.state).collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        assert f"`{name}" in text, name
