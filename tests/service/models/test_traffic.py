"""Canaries and shadows: who gets the calls that name no version."""

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import cv2
import numpy as np
import pytest
import structlog
from fastapi.testclient import TestClient
from numpy.typing import NDArray

from service.api.access.keys import ANONYMOUS
from service.api.app import create_app
from service.contract.answers import ModelRef
from service.contract.signature import Outputs
from service.models.runtime.session import OnnxSession
from service.models.versions.registry import ModelRegistry
from service.models.versions.shadow import COMPARED, MOST_CALLS, MOST_ROWS, ShadowObserver
from service.observability.metrics.shared_counters import Series
from service.observability.observer import Rows
from service.settings.settings import Settings
from service.tasks import TASKS
from tests.artifacts import graph_of, write_artifact
from tests.service.models.test_versions import HEART, answering, label, publish
from tests.waiting import wait_until

IDS = [f"request-{number}" for number in range(4000)]
ROW = {"age": 60, "sex": 1}
Open = Callable[..., ModelRegistry]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """Opens heart in versions 1, 2 and 3 (3 newest) with these labels."""
    repositories = []

    def open_it(**labels: object) -> ModelRegistry:
        for version in ("1", "2", "3"):
            publish(tmp_path, version)
        label(tmp_path, **labels)
        registry = ModelRegistry(tmp_path, {"heart": HEART}, "cpu")
        registry.refresh()
        repositories.append(registry)
        return registry

    yield open_it
    for registry in repositories:
        registry.close()


def split(registry: ModelRegistry) -> list[str]:
    """The version that each of the ids gets."""
    return [registry.for_task("heart", None, name).card.version for name in IDS]


def test_a_canary_gets_its_share_and_an_id_always_goes_the_same_way(opened: Open) -> None:
    """A tenth of many ids; those that went to it stay when its weight grows."""
    registry = opened(stable="1", canary={"version": "2", "weight": 0.1})
    first = split(registry)
    # 400 of 4,000 expected; four standard deviations are 76.
    assert abs(first.count("2") - 400) < 76
    assert first.count("1") == len(IDS) - first.count("2")
    assert split(registry) == first
    label(registry.models_dir, stable="1", canary={"version": "2", "weight": 0.5})
    registry.refresh()
    more = split(registry)
    assert abs(more.count("2") - 2000) < 127
    assert all(now == "2" for now, then in zip(more, first, strict=True) if then == "2")


def test_two_canaries_share(opened: Open) -> None:
    """Each its part; nothing is left for the default at weights of 1 together."""
    half = {"version": "1", "weight": 0.5}
    given = split(opened(one=half, two={"version": "2", "weight": 0.5}))
    assert set(given) == {"1", "2"}
    assert abs(given.count("1") - 2000) < 127


def test_only_calls_that_name_no_version_go_to_a_canary(opened: Open) -> None:
    """A call without an id does not either: it is answered by default."""
    registry = opened(canary={"version": "1", "weight": 1})
    assert set(split(registry)) == {"1"}
    assert registry.for_model("heart", "3", IDS[0]).card.version == "3"
    assert registry.for_model("heart", "canary", IDS[0]).card.version == "1"
    assert registry.for_model("heart").card.version == "3"
    assert answering(registry) == "3"


def test_the_share_of_a_canary_that_is_refused_goes_to_the_default(
    opened: Open, tmp_path: Path
) -> None:
    """No request fails because of it."""
    publish(tmp_path, "4", damaged=True)
    registry = opened(canary={"version": "4", "weight": 1}, stable="2")
    assert set(split(registry)) == {"2"}


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"canary": {"version": "1", "weight": 1.1}}, "less than or equal to 1"),
        ({"canary": {"version": "1", "weight": -0.1}}, "greater than or equal to 0"),
        ({"canary": {"version": "1", "wieght": 0.1}}, "wieght"),
        ({"canary": {"weight": 0.1}}, "version"),
        ({"stable": {"version": "1", "weight": 0.1}}, "stable takes what is left"),
        (
            {"a": {"version": "1", "weight": 0.6}, "b": {"version": "2", "weight": 0.5}},
            "weights of 1.1 together, at most 1",
        ),
        (
            {"a": {"version": "1", "shadow": 0.1}, "b": {"version": "2", "shadow": 0.1}},
            "two labels with a shadow share",
        ),
    ],
)
def test_shares_that_mean_nothing_are_refused(
    opened: Open, labels: dict[str, object], message: str
) -> None:
    """The model goes on as before, and says why."""
    registry = opened()
    label(registry.models_dir, **labels)
    registry.refresh()
    assert answering(registry) == "3"
    assert message in str(registry.versions_of("heart").problem)


def rows(count: int) -> NDArray[np.float32]:
    """Inputs that fit heart."""
    return np.random.default_rng(0).normal(size=(count, 13)).astype(np.float32)


def test_a_shadow_changes_no_answer_and_is_compared(opened: Open) -> None:
    """Agreement and difference are those of the two versions' own answers to the same rows."""
    registry = opened(next={"version": "1", "shadow": 1})
    one, three = (registry.for_model("heart", version) for version in ("1", "3"))
    batch = rows(50)
    ours, theirs = (s.session.run(batch)["probability"] for s in (three, one))
    model = registry.default_of("heart")

    async def answer() -> None:
        probabilities = [answer.model_dump()["probability"] for answer in model.predict(batch[:49])]
        assert probabilities == ours[:49].tolist()
        answered = json.loads(await model.answer_row(batch[49].tolist()))
        assert answered["probability"] == ours[49]
        await model.answer_row([0.0] * 13)  # in the same memory as the row before

    asyncio.run(answer())
    shadow = registry.versions_of("heart").traffic.shadow
    assert shadow is not None
    wait_until(lambda: shadow.comparison.rows == 51)
    zero = np.zeros((1, 13), np.float32)
    gap = np.abs(
        np.concatenate([ours, three.session.run(zero)["probability"]])
        - np.concatenate([theirs, one.session.run(zero)["probability"]])
    )
    assert shadow.comparison.difference == pytest.approx(gap.sum(), rel=1e-5)  # sums of float32
    # The bias of 3 is higher, so that it says yes at least where 1 does.
    assert shadow.comparison.agreed == 51 - int(((ours >= 0.5) & (theirs < 0.5)).sum())
    assert (shadow.comparison.dropped, shadow.comparison.failed) == (0, 0)


def test_calls_that_name_a_version_are_not_compared(opened: Open) -> None:
    """The comparison is of what is answered by default."""
    registry = opened(next={"version": "1", "shadow": 1})
    registry.for_model("heart", "3").predict(rows(5))
    shadow = registry.versions_of("heart").traffic.shadow
    assert shadow is not None
    shadow.close()
    assert shadow.comparison.rows == 0


def test_a_shadow_goes_on_comparing_until_something_changes(opened: Open) -> None:
    """Looking at the folder again resets nothing; a new version to compare does."""
    registry = opened(next={"version": "1", "shadow": 1})
    before = registry.versions_of("heart").traffic.shadow
    registry.refresh()
    assert registry.versions_of("heart").traffic.shadow is before
    label(registry.models_dir, next={"version": "2", "shadow": 1})
    registry.refresh()
    after = registry.versions_of("heart").traffic.shadow
    assert after is not None
    assert after is not before
    assert after.second.card.version == "2"
    (registry.models_dir / "heart" / "labels.json").unlink()
    registry.refresh()
    assert registry.versions_of("heart").traffic.shadow is None
    assert registry.default_of("heart").observers == ()


class Stuck(OnnxSession):
    """A session that scores nothing until it may."""

    def __init__(self, session: OnnxSession, may: Event) -> None:
        vars(self).update(vars(session))
        self._may = may

    def run(self, batch: NDArray[Any], pad_to: int = 0) -> dict[str, NDArray[Any]]:
        """Run as OnnxSession does, late."""
        assert self._may.wait(timeout=30)
        return super().run(batch)


def test_what_a_busy_shadow_cannot_take_is_dropped_and_counted(opened: Open) -> None:
    """The queue is bounded, in calls and in rows of each; no answer waits."""
    model = opened().default_of("heart")
    may = Event()
    second = replace(model, session=Stuck(model.session, may))
    shadow = ShadowObserver(model, second, 1.0, Series.detached(COMPARED))
    observed = model.observed_by(shadow)
    for _ in range(MOST_CALLS + 10):
        observed.predict(rows(1))
    # One call may have been taken out of the queue already.
    assert shadow.comparison.dropped in (9, 10)
    may.set()
    wait_until(lambda: shadow.comparison.rows == MOST_CALLS + 10 - shadow.comparison.dropped)
    observed.predict(rows(MOST_ROWS + 5))
    shadow.close()
    assert shadow.comparison.rows == MOST_CALLS + 10 - shadow.comparison.dropped + MOST_ROWS
    assert shadow.comparison.agreed == shadow.comparison.rows


def test_a_shadow_that_fails_harms_nobody(opened: Open) -> None:
    """It is counted, and what comes after is compared."""
    model = opened().default_of("heart")
    shadow = ShadowObserver(model, model, 1.0, Series.detached(COMPARED))
    outputs = model.session.run(rows(2))
    shadow.seen(rows(2)[:, :5], outputs, model.ref)
    shadow.seen(rows(2), outputs, model.ref)
    shadow.close()
    assert (shadow.comparison.failed, shadow.comparison.rows, shadow.comparison.agreed) == (1, 2, 2)


def test_an_observer_that_fails_costs_no_answer_and_keeps_it_from_no_other(opened: Open) -> None:
    """It is logged by the name of its class."""

    class Broken:
        def seen(self, rows: Rows, outputs: Outputs, ref: ModelRef) -> None:
            raise OSError("the disk is full")

    class Counting:
        rows = 0

        def seen(self, rows: Rows, outputs: Outputs, ref: ModelRef) -> None:
            assert ref.version == "3"
            self.rows += len(rows)

    counting = Counting()
    model = opened().default_of("heart").observed_by(Broken()).observed_by(counting)
    with structlog.testing.capture_logs() as events:
        assert len(model.predict(rows(3))) == 3
    assert counting.rows == 3
    assert [(e["event"], e["observer"]) for e in events] == [("observer failed", "Broken")]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A service with two versions of heart and of digits, the first a canary or a shadow."""
    folder = tmp_path_factory.mktemp("models")
    for task in TASKS.values():
        write_artifact(folder, task)
    for name in ("heart", "digits"):
        write_artifact(folder, TASKS[name], version="2", graph=graph_of(TASKS[name], bias=2.0))
    canary = {"canary": {"version": "1", "weight": 0.5}, "next": {"version": "1", "shadow": 1}}
    (folder / "heart" / "labels.json").write_text(json.dumps(canary))
    shadow = {"next": {"version": "1", "shadow": 1}}
    (folder / "digits" / "labels.json").write_text(json.dumps(shadow))
    settings = Settings(models_dir=folder, device="cpu")
    with TestClient(create_app(settings), raise_server_exceptions=False) as started:
        wait_until(lambda: started.get("/readyz").status_code == 200)
        yield started


def test_the_requests_id_decides_and_the_answer_names_the_version(client: TestClient) -> None:
    """The id that a caller sends, so that its calls can go one way; others go either way."""

    def given(**headers: str) -> str:
        answer = client.post("/v1/heart/predict", json=ROW, headers=headers)
        return str(answer.json()["model"]["version"])

    by_id = {name: given(**{"x-request-id": name}) for name in IDS[:40]}
    assert set(by_id.values()) == {"1", "2"}
    assert by_id == {name: given(**{"x-request-id": name}) for name in IDS[:40]}
    assert {given() for _ in range(40)} == {"1", "2"}


def test_shares_and_comparisons_are_shown(client: TestClient) -> None:
    """There are those of rows and those of pictures."""
    pixels = [[10 * ((i + j) % 20) for j in range(28)] for i in range(28)]
    for _ in range(3):
        client.post("/v1/digits/predict", json={"pixels": pixels})
        client.post("/v1/heart/predict", json=ROW, headers={"x-request-id": "not the canary's"})
    wait_until(lambda: client.get("/v1/models/digits").json()["shadow"]["rows"] == 3)
    digits = client.get("/v1/models/digits").json()
    assert digits["shadow"]["version"] == "1"
    assert digits["shadow"]["share"] == 1
    assert 0 < digits["shadow"]["mean_absolute_difference"] < 1
    assert digits["shadow"]["agreement"] in (0, 1)
    assert digits["canaries"] == {}
    heart = client.get("/v1/models/heart").json()
    assert heart["canaries"] == {"canary": 0.5}
    assert heart["labels"] == {"canary": "1", "next": "1"}
    assert client.get("/v1/models/credit").json()["shadow"] is None


TO_THE_DEFAULT = {"x-request-id": "not the canary's"}
PIXELS = [[10 * ((i + j) % 20) for j in range(28)] for i in range(28)]
TENSOR = {"name": "features", "datatype": "FP32", "shape": [2, 13], "data": [1.0] * 26}
DRAWN = np.zeros((140, 140), np.uint8)
DRAWN[30:60, 45:90] = 255
PNG = bytes(cv2.imencode(".png", DRAWN)[1])


def compared(client: TestClient, name: str) -> int:
    """Rows that the shadow of a model has been compared on."""
    return int(client.get(f"/v1/models/{name}").json()["shadow"]["rows"])


def post(client: TestClient, path: str, **body: Any) -> None:
    """Make a call that is answered by the default version."""
    answer = client.post(path, headers=TO_THE_DEFAULT, **body)
    assert answer.status_code == 200, answer.text


def infer_by_grpc(client: TestClient) -> None:
    """Make a gRPC call of two rows, on the service's own event loop."""
    grpc_service = pytest.importorskip("service.api.open_inference.grpc.service")
    request = grpc_service.methods(grpc_service.SERVICE)["ModelInfer"][0](
        model_name="heart", id=TO_THE_DEFAULT["x-request-id"]
    )
    request.inputs.add(name="features", datatype="FP32", shape=[2, 13])
    request.inputs[0].contents.fp32_contents.extend(TENSOR["data"])
    assert client.portal is not None
    app: Any = client.app
    client.portal.call(grpc_service.Inference(app.state).ModelInfer, request, ANONYMOUS)


@pytest.mark.parametrize(
    ("name", "rows", "call"),
    [
        ("heart", 1, lambda c: post(c, "/v1/heart/predict", json=ROW)),
        ("heart", 2, lambda c: post(c, "/v2/models/heart/infer", json={"inputs": [TENSOR]})),
        ("heart", 2, infer_by_grpc),
        ("heart", 3, lambda c: post(c, "/v1/heart/predict/batch", json=[ROW] * 3)),
        ("digits", 1, lambda c: post(c, "/v1/digits/predict", json={"pixels": PIXELS})),
        (
            "digits",
            4,
            lambda c: post(
                c, "/v1/digits/predict", files=[("file", ("one.png", PNG, "image/png"))] * 4
            ),
        ),
    ],
    ids=["typed", "v2", "grpc", "bulk", "pixels", "pictures"],
)
def test_a_shadow_is_compared_on_the_rows_of_every_answered_call(
    client: TestClient, name: str, rows: int, call: Callable[[TestClient], None]
) -> None:
    """Each row counts once, by every protocol."""
    before = compared(client, name)
    call(client)
    wait_until(lambda: compared(client, name) >= before + rows)
    assert compared(client, name) == before + rows


@pytest.mark.parametrize(
    ("name", "body"),
    [("heart", ROW), ("digits", {"pixels": PIXELS})],
)
def test_a_shadow_is_not_compared_on_rows_that_an_explanation_computes(
    client: TestClient, name: str, body: dict[str, Any]
) -> None:
    """No caller sent them: one explanation of credit added 13,019 rows (measured 2026-11-30)."""
    before = compared(client, name)
    post(client, f"/v1/{name}/explain", json=body)
    post(client, f"/v1/{name}/predict", json=body)  # comes last in the shadow's queue
    wait_until(lambda: compared(client, name) > before)
    assert compared(client, name) == before + 1


def test_a_shadow_is_not_compared_on_a_call_that_got_no_answer(client: TestClient) -> None:
    """Infinity breaks the contract: its probability is NaN, which no sum would ever lose again."""
    before = compared(client, "heart")
    infinite = np.array([np.inf, -np.inf] * 6 + [0], np.float32)
    refused = client.post(
        "/v2/models/heart/infer",
        content=infinite.tobytes(),
        headers=TO_THE_DEFAULT | {"inference-header-content-length": "0"},
    )
    assert refused.status_code == 400, refused.text
    post(client, "/v1/heart/predict", json=ROW)
    wait_until(lambda: compared(client, "heart") > before)
    assert compared(client, "heart") == before + 1
    shown = client.get("/v1/models/heart").json()["shadow"]
    assert 0 <= shown["mean_absolute_difference"] < 1
