"""Dynamic batching as callers see it: by HTTP, from a real server, many at once."""

import asyncio
import json
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from starlette.requests import ClientDisconnect

from service.api.http.problems import retry_after
from service.api.http.requests import cancel_on_disconnect
from service.contract.tabular import TabularTask
from service.errors import QueueFull, QueueTimeout
from service.models.runtime.batching_plan import (
    MIN_SPEEDUP,
    REFERENCE_BATCH,
    BatchingPlan,
    plan_batching,
)
from service.models.runtime.measurement import Measurement
from service.models.runtime.session import CPU, CUDA, OnnxSession
from service.settings.limits import QueueLimits
from service.tasks import TASKS
from tests.artifacts import wide_graph_of, write_artifact
from tests.service.server.test_serving import Service, serving
from tests.simulated import simulate
from tests.waiting import wait_until

HEART = TASKS["heart"]
CALLERS = 48
CALLS = 12
JSON = {"content-type": "application/json"}
# A busy machine would measure that no batch is quick enough.
ON = {
    "FORETELL_BATCHING": "on",
    "FORETELL_BATCH_SIZES": "1,2,4,8,16,32,64",
    "FORETELL_QUEUE_TIMEOUT_SECONDS": "60",
}
AGES = range(20, 100)


class Timed(OnnxSession):
    """A session that takes so many microseconds for so many rows."""

    def __init__(self, us: Callable[[int], float], provider: str = CPU) -> None:
        self._us, self._provider = us, provider

    @property
    def provider(self) -> str:
        """The provider that it is given."""
        return self._provider

    def measure_row(self, row: NDArray[Any]) -> Measurement:
        """Return the time that it is given."""
        return Measurement(self._us(1))

    def measure_batch(self, batch: NDArray[Any]) -> Measurement:
        """Return the time that it is given."""
        return Measurement(self._us(len(batch)))


def decided(us: Callable[[int], float], provider: str = CPU, **limits: Any) -> BatchingPlan:
    return plan_batching(Timed(us, provider), np.zeros(3), QueueLimits(**limits))


def test_runs_are_shared_where_rows_get_clearly_cheaper(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of a row alone is compared with that in a batch, overhead included."""
    monkeypatch.setattr("service.models.runtime.batching_plan.available_cores", lambda: 4)
    credit = decided(lambda rows: 75 + 6 * rows)
    assert (credit.on, credit.on_loop, credit.buckets[-1]) == (True, True, 64)
    assert credit.speedup == pytest.approx(81 / (75 / REFERENCE_BATCH + 6 + 5))
    # A convolutional network: a row costs what it costs, however many there are.
    network = decided(lambda rows: 30 + 165 * rows)
    assert (network.on, network.buckets) == (False, (1,))
    assert 1 < network.speedup < 1.1
    # Too slow for the event loop: alone, its rows would have all four cores.
    slow = decided(lambda rows: 1000 + 100 * rows)
    assert not slow.on_loop
    assert slow.speedup == pytest.approx(1100 / 4 / (1000 / REFERENCE_BATCH + 100))
    assert slow.on is (slow.speedup >= MIN_SPEEDUP)
    # A GPU's run is waiting, not work: never on the event loop, and there is one GPU.
    gpu = decided(lambda rows: 150 + rows, CUDA)
    assert (gpu.on, gpu.on_loop) == (True, False)
    assert gpu.speedup == pytest.approx(151 / (150 / REFERENCE_BATCH + 1))


def test_no_run_is_longer_than_others_can_wait() -> None:
    """On the event loop as long as one row may be, 500 us; on a thread 50 ms."""
    assert decided(lambda rows: 100 + 20 * rows).buckets == (1, 2, 4, 8, 16)
    assert decided(lambda rows: 5000 + 2000 * rows).buckets == (1, 2, 4, 8, 16)


def test_sizes_that_are_set_are_taken_however_long_they_run() -> None:
    """Nothing of the batches depends on a measurement with `on`; there are none with `off`."""
    slow = partial(decided, lambda rows: 400.0 * rows, batch_sizes=(1, 3, 9))
    assert slow(mode="on").buckets == (1, 3, 9)
    assert slow(mode="off").buckets == (1,)
    assert not slow(mode="auto").on
    assert decided(lambda rows: 400.0, batch_sizes=(1, 3, 9)).buckets == (1, 3, 9)


def test_the_operator_has_the_last_word() -> None:
    """`on` and `off`, whatever was measured."""
    assert decided(lambda rows: 10.0 * rows, mode="on").on
    assert not decided(lambda rows: 100.0, mode="off").on


def test_retry_after_is_when_there_may_be_room() -> None:
    """Whole seconds, rounded up, and not zero."""
    assert retry_after(QueueFull("m", 4, 2.3)) == "3"
    assert retry_after(QueueTimeout("m", 1.0, 0.0)) == "1"


def test_a_caller_who_hangs_up_withdraws_what_he_waits_for() -> None:
    """The wait ends as soon as the server knows; nothing is left behind."""

    async def hang_up() -> None:
        withdrawn = False

        async def answer() -> None:
            nonlocal withdrawn
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                withdrawn = True
                raise

        async def receive() -> dict[str, Any]:
            await asyncio.sleep(1)
            return {"type": "http.disconnect"}

        with pytest.raises(ClientDisconnect):
            await cancel_on_disconnect(receive, answer())
        await asyncio.sleep(0)
        assert withdrawn
        assert asyncio.get_running_loop().time() < 2
        assert len(asyncio.all_tasks()) == 1

    simulate(hang_up())


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of heart disease for which sharing runs pays, beside the other tasks'."""
    folder = tmp_path_factory.mktemp("wide")
    assert isinstance(HEART, TabularTask)
    for task in TASKS.values():
        graph = wide_graph_of(HEART) if task is HEART else None
        write_artifact(folder, task, graph=graph)
    return folder


@pytest.fixture(scope="module")
def probabilities(wide: Path) -> dict[int, float]:
    """The graph's own probabilities, by age."""
    rows = np.full((len(AGES), 13), np.nan, np.float32)
    rows[:, 0], rows[:, 1] = AGES, 1
    outputs = OnnxSession(wide / "heart" / "1" / "model.onnx", "cpu").run(rows)
    return dict(zip(AGES, outputs["probability"].tolist(), strict=True))


@pytest.fixture
def service(wide: Path) -> Iterator[Service]:
    # The callers here are threads of one process, which alone might never come two at a time.
    with serving(wide, **ON, FORETELL_MAX_BATCH_DELAY_MS="5") as running:
        yield running


def at_once(callers: int, call: Callable[[int], Any]) -> list[Any]:
    """Return the results of so many callers, each in a thread of its own."""
    with ThreadPoolExecutor(callers) as threads:
        return list(threads.map(call, range(callers)))


def tensor(ages: list[int]) -> dict[str, Any]:
    """Rows in the Open Inference Protocol."""
    data = [[age, 1.0, *[None] * 11] for age in ages]
    return {"name": "features", "datatype": "FP32", "shape": [len(ages), 13], "data": data}


def test_many_callers_get_their_own_answers_from_shared_runs(
    service: Service, probabilities: dict[int, float]
) -> None:
    """48 at once, with one row or several, by two protocols; each answer is that of its rows.

    Answers differ by more than the tolerance, which is that of the golden answers: in company a
    matrix product may be added up in another order.
    """
    assert min(np.diff(sorted(probabilities.values()))) > 1e-5 * 2

    def call(caller: int) -> int:
        wrong = 0
        with httpx.Client(base_url=service.url, timeout=30) as client:
            for turn in range(CALLS):
                age = AGES[(caller * CALLS + turn) % len(AGES)]
                if caller % 2:
                    answer = client.post("/v1/heart/predict", json={"age": age, "sex": 1})
                    assert answer.status_code == 200, answer.text
                    got, ages = [answer.json()["probability"]], [age]
                else:
                    ages = [age, AGES[turn], AGES[-caller - 1]][: 1 + turn % 3]
                    answer = client.post("/v2/models/heart/infer", json={"inputs": [tensor(ages)]})
                    assert answer.status_code == 200, answer.text
                    got = answer.json()["outputs"][0]["data"]
                wrong += got != pytest.approx([probabilities[age] for age in ages], abs=1e-5)
        return wrong

    assert sum(at_once(CALLERS, call)) == 0
    shown = httpx.get(f"{service.url}/v1/models/heart").json()["batching"]
    assert shown["on"]
    assert shown["buckets"][0] == 1
    (stats,) = httpx.get(f"{service.url}/v2/models/heart/stats").json()["model_stats"]
    calls, rows = CALLERS // 2 * CALLS, CALLERS // 2 * sum(1 + turn % 3 for turn in range(CALLS))
    assert stats["inference_stats"]["success"]["count"] == calls
    assert stats["inference_count"] == rows
    assert stats["execution_count"] < calls
    batches = {batch["batch_size"]: batch["compute_infer"] for batch in stats["batch_stats"]}
    assert sum(batch["count"] for batch in batches.values()) == stats["execution_count"]
    assert 3 < max(batches) <= shown["buckets"][-1]
    assert not service.of("request crashed")


def test_pictures_share_runs_too(service: Service) -> None:
    """Pixels, a picture or several in a form: each answer is that of its picture alone."""

    def pixels(at: int) -> NDArray[np.uint8]:
        picture = np.zeros((28, 28), np.uint8)
        picture[at : at + 6, 9:18] = 255
        return picture

    def png(at: int) -> bytes:
        return bytes(cv2.imencode(".png", np.kron(pixels(at), np.ones((5, 5), np.uint8)))[1])

    url = f"{service.url}/v1/digits/predict"

    def call(caller: int) -> list[list[float]]:
        at = caller % 20
        if caller % 2:
            answers = [httpx.post(url, json={"pixels": pixels(at).tolist()}, timeout=30).json()]
        else:
            files = [("file", (f"{n}.png", png(n), "image/png")) for n in (at, at + 2)]
            answers = httpx.post(url, files=files, timeout=30).json()
        return [answer["probabilities"] for answer in answers]

    alone = [call(caller) for caller in range(20)]
    for caller, got in enumerate(at_once(40, call)):
        assert got == pytest.approx(np.array(alone[caller % 20]), abs=1e-5)
    assert httpx.get(f"{service.url}/v1/models/digits").json()["batching"]["on"]


def test_more_than_may_wait_are_refused_in_so_many_words(wide: Path) -> None:
    """503, the limit's name, and when to come back; the others are answered."""
    with serving(wide, **ON, FORETELL_MAX_QUEUE_ROWS="1") as running:
        url = f"{running.url}/v1/heart/predict"

        def call(_: int) -> httpx.Response:
            return httpx.post(url, json={"age": 60, "sex": 1}, timeout=30)

        answers = at_once(CALLERS, call)
        after = call(0)
        metrics = httpx.get(f"{running.url}/metrics").text
    by_status = Counter(answer.status_code for answer in answers)
    assert set(by_status) == {200, 503}
    counted = f'reason="full",version="1"}} {float(by_status[503])}'
    assert f'foretell_queue_rejected_requests_total{{model="heart",{counted}' in metrics
    assert 'foretell_queue_rows{model="heart",version="1"} 0.0' in metrics
    refused = next(answer for answer in answers if answer.status_code == 503)
    assert refused.headers["retry-after"] == "1"
    assert "FORETELL_MAX_QUEUE_ROWS allows 1;" in refused.json()["detail"]
    assert after.status_code == 200


def test_callers_who_hang_up_cost_the_others_nothing(
    service: Service, probabilities: dict[int, float]
) -> None:
    """Half of them go away without reading; the rest get what is theirs; nothing crashes."""
    body = json.dumps({"age": 60, "sex": 1}).encode()
    head = f"POST /v1/heart/predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
    request = f"{head}Content-Type: application/json\r\n\r\n".encode() + body
    address = ("127.0.0.1", int(service.url.rpartition(":")[2]))

    def call(caller: int) -> float | None:
        if caller % 2:
            with socket.create_connection(address) as line:
                line.sendall(request)
            return None
        answer = httpx.post(f"{service.url}/v1/heart/predict", content=body, headers=JSON)
        return float(answer.json()["probability"])

    for _ in range(3):
        got = at_once(CALLERS, call)[::2]
        assert got == pytest.approx([probabilities[60]] * len(got), abs=1e-5)
    wait_until(lambda: len(service.of("request")) >= 3 * CALLERS)
    assert not service.of("request crashed")


def test_a_stopping_service_answers_all_who_wait(wide: Path) -> None:
    """Calls that were taken in before SIGTERM are answered after it."""
    statuses: list[int] = []

    def load(url: str) -> None:
        with httpx.Client(base_url=url, timeout=30) as client:
            while client.get("/readyz").status_code == 200:
                row = {"age": 60, "sex": 1}
                statuses.append(client.post("/v1/heart/predict", json=row).status_code)

    with serving(wide, **ON, FORETELL_DRAIN_SECONDS="1") as service:
        callers = [threading.Thread(target=load, args=(service.url,)) for _ in range(16)]
        for caller in callers:
            caller.start()
        wait_until(lambda: len(statuses) > 100)
        service.process.terminate()
        for caller in callers:
            caller.join(timeout=30)
        service.wait()
    assert set(statuses) == {200}
