"""The export from Keras to a served artifact: the service computes what training computed."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.api.app import create_app
from service.contract.fields import Feature
from service.contract.tabular import TabularTask
from service.errors import ArtifactError
from service.models.artifacts.artifact import GOLDEN, MODEL, read_artifact
from service.models.artifacts.folder import list_versions
from service.models.runtime.session import OnnxSession
from service.settings.settings import Settings
from tests.waiting import wait_until
from training.fitting.fit import Fitted, fit
from training.recipe import DataSplits, TaskTraining
from training.recipes import TASK_TRAININGS
from training.train import export_fitted

# float32 holds 24 bits: see the reason for the tolerance in training/artifacts/golden.py.
TOLERANCE = 1e-5


def smoke(task: str, recipe: str | None = None) -> tuple[TaskTraining, str, Fitted, DataSplits]:
    """Fit a default network for one epoch on synthetic data."""
    training = TASK_TRAININGS[task]
    recipe = recipe or training.default
    data = training.prepare(training.synthetic())
    return training, recipe, fit(training, training.recipes[recipe], data, epochs=1), data


@pytest.fixture(scope="module")
def trained() -> dict[str, tuple[TaskTraining, str, Fitted, DataSplits]]:
    return {task: smoke(task) for task in TASK_TRAININGS}


@pytest.fixture(scope="module")
def models_dir(
    trained: dict[str, tuple[TaskTraining, str, Fitted, DataSplits]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for parts in trained.values():
        export_fitted(*parts, folder)
    return folder


@pytest.fixture(scope="module")
def client(models_dir: Path) -> Any:
    app = create_app(Settings(models_dir=models_dir, device="cpu"))
    with TestClient(app, raise_server_exceptions=False) as started:
        wait_until(lambda: started.get("/readyz").status_code == 200)
        yield started


@pytest.mark.parametrize("task", TASK_TRAININGS)
@pytest.mark.parametrize("size", [1, 2, 7, 31, 257])
def test_the_graph_repeats_keras_at_any_batch_size(
    trained: dict[str, tuple[TaskTraining, str, Fitted, DataSplits]],
    models_dir: Path,
    task: str,
    size: int,
) -> None:
    """Odd batch sizes give Keras' answers too: no size is fixed in the graph."""
    _, _, fitted, data = trained[task]
    rows = np.resize(data.test.inputs, (size, *data.test.inputs.shape[1:]))
    wanted = np.asarray(fitted.model(rows, training=False))
    got = next(iter(OnnxSession(models_dir / task / "1" / MODEL, "cpu").run(rows).values()))
    np.testing.assert_allclose(got.reshape(wanted.shape), wanted, atol=TOLERANCE)


def valid(feature: Feature) -> st.SearchStrategy[Any]:
    """Draw every value that the contract allows for one field."""
    if feature.codes:
        values: st.SearchStrategy[Any] = st.sampled_from(sorted(feature.codes))
    else:
        values = st.floats(feature.low, feature.high) | st.integers(
            int(np.ceil(feature.low or 0)), int(np.floor(feature.high or 0))
        )
    if feature.zero_is_missing:
        values |= st.just(0)
    return values if feature.required else values | st.none()


def payloads(task: TabularTask) -> st.SearchStrategy[dict[str, Any]]:
    required = {f.name: valid(f) for f in task.features if f.required}
    optional = {f.name: valid(f) for f in task.features if not f.required}
    return st.fixed_dictionaries(required, optional=optional)


def by_hand(task: TabularTask, row: dict[str, Any]) -> NDArray[np.float32]:
    """Encode a payload as the network's input without the service's code."""
    values = []
    for feature in task.features:
        value = row.get(feature.name)
        missing = value is None or (feature.zero_is_missing and value == 0)
        values.append(np.nan if missing else value)
    return np.array([values], np.float32)


PATIENCE = settings(
    max_examples=100,
    deadline=None,  # speed lives in benchmarks/
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.mark.parametrize("name", ["heart", "credit"])
@PATIENCE
@given(data=st.data())
def test_any_valid_payload_gets_the_probability_that_keras_gives(
    client: TestClient,
    trained: dict[str, tuple[TaskTraining, str, Fitted, DataSplits]],
    name: str,
    data: st.DataObject,
) -> None:
    """HTTP, validation, array and graph together give Keras' probability within 1e-5."""
    training, _, fitted, _ = trained[name]
    assert isinstance(training.task, TabularTask)
    row = data.draw(payloads(training.task))
    answer = client.post(f"/v1/{name}/predict", json=row)
    assert answer.status_code == 200, answer.text
    wanted = float(np.asarray(fitted.model(by_hand(training.task, row), training=False))[0, 0])
    assert answer.json()["probability"] == pytest.approx(wanted, abs=TOLERANCE)


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=True, allow_infinity=True)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)


@pytest.mark.parametrize("name", ["heart", "credit", "digits", "fashion"])
@PATIENCE
@given(data=st.data())
def test_any_invalid_payload_is_a_4xx_problem(
    client: TestClient, name: str, data: st.DataObject
) -> None:
    """A spoiled payload gets a problem+json of 4xx, never a 500."""
    task = TASK_TRAININGS[name].task
    if isinstance(task, TabularTask):
        row = data.draw(payloads(task))
        field = data.draw(st.sampled_from(sorted(row)) | st.text(max_size=10))
        body: Any = data.draw(JUNK | st.just({k: v for k, v in row.items() if k != "age"}))
        body = {**row, field: body} if data.draw(st.booleans()) else body
    else:
        body = data.draw(JUNK)
    answer = client.post(
        f"/v1/{name}/predict",
        content=json.dumps(body).encode(),
        headers={"content-type": "application/json"},
    )
    if answer.status_code == 200:  # the junk happened to be valid
        assert isinstance(task, TabularTask)
        task.payload.model_validate_json(json.dumps(body))
    else:
        assert 400 <= answer.status_code < 500
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["detail"]


@pytest.mark.parametrize("task", TASK_TRAININGS)
def test_the_signature_shows_preprocessing(models_dir: Path, task: str) -> None:
    """The text names inputs and outputs as the contract does, and holds no weights."""
    text = (models_dir / task / "1" / "signature.txt").read_text()
    contract = TASK_TRAININGS[task].task.contract
    for tensor in (contract.input, *contract.outputs):
        assert tensor.name in text
    # The nodes of five networks side by side; 130,000 weights would take a million.
    assert len(text) < 50_000


@pytest.mark.parametrize("task", TASK_TRAININGS)
def test_golden_inputs_are_many_and_hold_missing_values_and_extremes(
    models_dir: Path, task: str
) -> None:
    """32 inputs or more hold every field's lowest and highest value, and each missing once."""
    with np.load(models_dir / task / "1" / GOLDEN) as golden:
        inputs = golden["input"]
    assert len(inputs) >= 32
    features = TASK_TRAININGS[task].task.contract.features
    for column, feature in enumerate(features):
        ends = sorted(feature.codes) if feature.codes else [feature.low, feature.high]
        assert {ends[0], ends[-1]} <= set(inputs[:, column].tolist())
        assert np.isnan(inputs[:, column]).any() == (not feature.required)
    if not features:
        assert any(not picture.any() for picture in inputs)


@pytest.mark.parametrize("task", TASK_TRAININGS)
def test_models_of_rows_carry_background_rows(
    trained: dict[str, tuple[TaskTraining, str, Fitted, DataSplits]], models_dir: Path, task: str
) -> None:
    """Weights count the training split, and the card has the hash; pictures have none."""
    artifact = read_artifact(models_dir, task)
    background = artifact.background()
    if not isinstance(TASK_TRAININGS[task].task, TabularTask):
        assert background is None
        return
    assert background is not None
    assert background.weights.sum() == len(trained[task][3].train.labels)
    artifact.verify(TASK_TRAININGS[task].task.contract)


def test_versions_count_up_and_old_ones_stay(
    trained: dict[str, tuple[TaskTraining, str, Fitted, DataSplits]], tmp_path: Path
) -> None:
    """Each export gets the next number, and nothing is overwritten."""
    export_fitted(*trained["heart"], tmp_path)
    first = (tmp_path / "heart" / "1" / "card.json").read_bytes()
    export_fitted(*trained["heart"], tmp_path)
    assert list_versions(tmp_path, "heart") == ["1", "2"]
    assert read_artifact(tmp_path, "heart").card.version == "2"
    assert (tmp_path / "heart" / "1" / "card.json").read_bytes() == first


def test_a_graph_that_disagrees_with_keras_is_not_written(
    trained: dict[str, tuple[TaskTraining, str, Fitted, DataSplits]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The export fails and leaves no version and no temporary folder behind."""
    save = onnx.save

    def save_spoiled(proto: onnx.ModelProto, path: Path) -> None:
        for tensor in proto.graph.initializer:
            values = onnx.numpy_helper.to_array(tensor)
            if values.shape == (160, 10):
                changed = onnx.numpy_helper.from_array(values + np.float32(0.01), tensor.name)
                tensor.CopyFrom(changed)
        save(proto, path)

    monkeypatch.setattr(onnx, "save", save_spoiled)
    with pytest.raises(ArtifactError, match="golden answers differ"):
        export_fitted(*trained["heart"], tmp_path)
    assert list((tmp_path / "heart").iterdir()) == []


def test_the_card_says_that_the_data_are_made_up(models_dir: Path) -> None:
    """The card of a model of synthetic data has published = false."""
    assert read_artifact(models_dir, "heart").card.data.published is False


def test_a_recipe_beside_the_default_has_a_name_of_its_own(tmp_path: Path) -> None:
    """`digits-softmax` is written beside `digits`, which the service serves."""
    training, recipe, fitted, data = smoke("digits", "softmax")
    assert (
        export_fitted(training, recipe, fitted, data, tmp_path) == tmp_path / "digits-softmax" / "1"
    )


def test_the_model_answers_as_its_parts_do(
    trained: dict[str, tuple[TaskTraining, str, Fitted, DataSplits]],
) -> None:
    """The exported model is the fitted network after the fitted preprocessing, and nothing else."""
    _, _, fitted, data = trained["heart"]
    preprocessing, network = fitted.model.layers[-2:]
    assert isinstance(network, keras.Model)
    rows = data.test.inputs[:5]
    np.testing.assert_allclose(
        np.asarray(network(preprocessing(rows))), np.asarray(fitted.model(rows)), rtol=1e-6
    )
