"""Tests of the metadata of a server and its models."""

from typing import Any

import pytest

from tests.conformance.protocol import DTYPES, Model, Server, refused

DATATYPES = {*DTYPES, "BYTES", "BF16"}


def test_the_server_names_itself_and_its_extensions(server: Server) -> None:
    """The server's metadata are a name, a version and a list of extensions."""
    answer = server.get("/v2")
    assert isinstance(answer["name"], str)
    assert isinstance(answer["version"], str)
    assert all(isinstance(extension, str) for extension in answer["extensions"])


@pytest.mark.parametrize("path", ["/v2/health/live", "/v2/health/ready"])
def test_a_running_server_is_live_and_ready(server: Server, path: str) -> None:
    """Liveness and readiness of a running server answer 200."""
    assert server.http.get(path).status_code == 200


def test_models_describe_their_tensors(models: list[Model]) -> None:
    """Tensors have names, known datatypes, and shapes of whole numbers with -1 for any size."""
    for model in models:
        assert isinstance(model.metadata["platform"], str)
        for tensor in [*model.inputs, *model.metadata["outputs"]]:
            assert isinstance(tensor["name"], str)
            assert tensor["datatype"] in DATATYPES
            assert all(isinstance(n, int) and (n == -1 or n >= 0) for n in tensor["shape"])


def test_a_models_versions_can_be_asked_for(server: Server, models: list[Model]) -> None:
    """Each version that the metadata names has metadata of its own, and is ready."""
    for model in models:
        assert server.http.get(f"/v2/models/{model.name}/ready").status_code == 200
        for version in model.metadata.get("versions", []):
            path = f"/v2/models/{model.name}/versions/{version}"
            assert server.get(path)["inputs"] == model.inputs
            assert server.http.get(f"{path}/ready").status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/v2/models/{}", "/v2/models/{}/ready", "/v2/models/{}/versions/1", "/v2/models/{}/stats"],
)
def test_an_unknown_model_is_an_error(server: Server, path: str) -> None:
    """An unknown model is a 404, or a 400 from other servers, with a message."""
    answer = server.http.get(path.format("no-such-model"))
    assert answer.status_code in (400, 404)
    if answer.content:  # Triton says that a model is not ready by the status only
        refused(answer, 400, 404)


@pytest.mark.parametrize("version", ["999999", "-1", "0", "latest-of-none", "1e0", "٣"])
def test_an_unknown_version_is_an_error(server: Server, model: Model, version: str) -> None:
    """An unknown version is a 404 or 400 with a message, and never another version's answer."""
    path = f"/v2/models/{model.name}/versions/{version}"
    refused(server.http.get(path), 400, 404)
    refused(server.http.post(f"{path}/infer", json=model.request()), 400, 404)


def test_configuration_agrees_with_metadata(server: Server, models: list[Model]) -> None:
    """Configuration and metadata have the same tensors, the batch apart if the model batches."""
    server.needs("model_configuration")
    for model in models:
        config = server.get(f"/v2/models/{model.name}/config")
        batched = config.get("max_batch_size", 0) > 0
        assert config["name"] == model.name
        for kind, tensors in (("input", model.inputs), ("output", model.metadata["outputs"])):
            found = {t["name"]: (t["data_type"], _shape(t["dims"], batched)) for t in config[kind]}
            wanted = {t["name"]: (_configured(t), t["shape"]) for t in tensors}
            assert found == wanted


def _shape(dims: list[Any], batched: bool) -> list[int]:
    return [-1] * batched + [int(size) for size in dims]


def _configured(tensor: dict[str, Any]) -> str:
    return f"TYPE_{tensor['datatype'].replace('BYTES', 'STRING')}"


def test_the_repository_lists_the_models_that_are_ready(
    server: Server, models: list[Model]
) -> None:
    """The index lists all models, or with `ready` only those that can answer."""
    server.needs("model_repository")
    everything = server.http.post("/v2/repository/index").json()
    ready = server.http.post("/v2/repository/index", json={"ready": True}).json()
    assert {model.name for model in models} <= {entry["name"] for entry in ready}
    assert all(entry["state"] == "READY" for entry in ready)
    assert [entry for entry in everything if entry.get("state") == "READY"] == ready


def test_statistics_count_rows_and_executions(server: Server, model: Model) -> None:
    """Three rows in one request count as three inferences and one execution of batch size 3."""
    server.needs("statistics")

    def stats() -> dict[str, Any]:
        found: dict[str, Any] = server.get(f"/v2/models/{model.name}/stats")["model_stats"][-1]
        return found

    before = stats()
    server.infer(model, model.request(model.arrays(rows=3)))
    bad = model.request()
    bad["inputs"][0]["name"] = "no such input"
    refused(server.http.post(model.infer, json=bad))
    after = stats()
    assert after["execution_count"] == before["execution_count"] + 1
    assert after["inference_stats"]["success"]["count"] == (
        before["inference_stats"]["success"]["count"] + 1
    )
    assert after["inference_stats"]["success"]["ns"] > before["inference_stats"]["success"]["ns"]
    assert after["last_inference"] >= before["last_inference"] > 0 or before["last_inference"] == 0
    listed = server.get("/v2/models/stats")["model_stats"]
    assert model.name in {entry["name"] for entry in listed}
    if model.inputs[0]["shape"][0] == -1:
        assert after["inference_count"] - before["inference_count"] in (1, 3)
