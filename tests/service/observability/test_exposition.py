"""GET /metrics shows the same families and samples, whoever declares and collects them."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image, ImageDraw
from prometheus_client.parser import text_string_to_metric_families

from service.api.app import create_app
from service.settings.settings import Settings
from service.tasks import TASKS
from tests.artifacts import write_artifact
from tests.service.models.test_versions import label, publish
from tests.service.observability.test_metrics import follow_labels, samples_of, scrape, value
from tests.service.server.test_serving import ROW
from tests.waiting import wait_until

EXPECTED = Path(__file__).with_name("exposition.txt")
"""Made on 2026-12-01 by the exposition that named every metric itself, of the run below."""
ROUTE = "/v1/heart/predict"
CSV = {"content-type": "text/csv"}
MEASURED = ("seconds", "_bytes", "_fds", "difference")
"""Parts of the names of samples whose values differ from run to run: those have no value here."""
REPEATED = ('route="/metrics"', 'route="/readyz"', 'route="/v1/models/{name}"')
"""Labels of calls that are repeated until something is so: their number differs too."""
RETRIED = 'result="invalid",version="3"'
"""A label of a load that is repeated where it was tried before all of the version was written."""


def png() -> bytes:
    """Return a stroke that is read as a picture of a digit."""
    image = Image.fromarray(np.full((64, 64), 255, np.uint8))
    ImageDraw.Draw(image).line((32, 10, 32, 54), fill=0, width=6)
    file = io.BytesIO()
    image.save(file, "png")
    return file.getvalue()


def scripted_run(client: TestClient, models: Path) -> None:
    """Make calls of every kind that is counted, each a fixed number of times."""
    for _ in range(3):
        client.post(ROUTE, json=ROW).raise_for_status()
    assert client.post(ROUTE, json={"age": 1000}).status_code == 422
    assert client.get("/nothing").status_code == 404
    table = "age,sex\n60,1\n700,1\n50,0\n"
    client.post(f"{ROUTE}/batch?on_error=report", content=table, headers=CSV).raise_for_status()
    assert client.post(f"{ROUTE}/batch", content=table, headers=CSV).status_code == 422
    arrays = {"name": "features", "shape": [5, 13], "datatype": "FP32", "data": [0] * 65}
    client.post("/v2/models/heart/infer", json={"inputs": [arrays]}).raise_for_status()
    assert client.post("/v2/models/heart/infer", json={}).status_code == 400
    headers = {"content-type": "image/png"}
    client.post("/v1/digits/predict", content=png(), headers=headers).raise_for_status()
    publish(models, "2")
    publish(models, "3", damaged=True)
    gauge = "foretell_model_version_workers"
    invalid = {"model": "heart", "version": "3", "state": "invalid"}
    wait_until(lambda: value(scrape(client), gauge, **invalid) == 1)
    wait_until(lambda: client.get("/v1/models/heart").json()["version"] == "2")
    replaced = {"model": "heart", "version": "1", "state": "ready"}
    wait_until(lambda: value(scrape(client), gauge, **replaced) == 0)
    label(models, stable="1", canary={"version": "2", "weight": 1e-9})
    follow_labels(client)
    client.post(ROUTE, json=ROW).raise_for_status()
    label(models, stable="1", next={"version": "2", "shadow": 1})
    follow_labels(client)
    client.post(ROUTE, json=ROW).raise_for_status()
    wait_until(lambda: client.get("/v1/models/heart").json()["shadow"]["rows"] == 1)


def lines(text: str) -> Iterator[str]:
    """Yield each family with its type, and each sample, with its value where that is fixed."""
    for family in text_string_to_metric_families(text):
        if family.name.startswith("process_") and family.name != "process_open_fds":
            continue  # the system's, of which some have more than others
        yield f"{family.name} {family.type}"
        for sample in family.samples:
            labels = ",".join(f'{key}="{got}"' for key, got in sorted(sample.labels.items()))
            if any(call in labels for call in REPEATED):
                continue
            labels = labels.replace(sample.labels.get("python", "\0"), "PYTHON")
            labels = labels.replace(sample.labels.get("onnxruntime", "\0"), "ONNXRUNTIME")
            fixed = not any(part in sample.name for part in MEASURED) and RETRIED not in labels
            counted = sample.name.endswith("_count") or 'le="+Inf"' in labels
            shown = f" {sample.value:g}" if fixed or counted else ""
            yield f"{sample.name}{{{labels}}}{shown}"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Write one version of each task's model."""
    for task in TASKS.values():
        write_artifact(tmp_path, task)
    return tmp_path


@pytest.fixture
def client(models: Path) -> Iterator[TestClient]:
    """Start a service that has counted nothing yet."""
    settings = Settings(models_dir=models, device="cpu", poll_seconds=0.05, batching="off")
    with TestClient(create_app(settings)) as started:
        wait_until(lambda: started.get("/readyz").status_code == 200)
        yield started


def test_the_same_run_gives_the_same_families_and_samples(client: TestClient, models: Path) -> None:
    """Names, types, labels and counts; not the help texts, nor the order of families."""
    scripted_run(client, models)
    text = client.get("/metrics").raise_for_status().text
    assert samples_of(text)
    assert sorted(lines(text)) == EXPECTED.read_text().splitlines()
