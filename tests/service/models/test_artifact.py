"""An artifact is validated before it is served."""

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from service.contract.signature import Contract
from service.errors import ArtifactError, UnknownModel
from service.models.artifacts.artifact import (
    BACKGROUND,
    CARD,
    GOLDEN,
    MODEL,
    Artifact,
    read_artifact,
    sha256,
)
from service.models.artifacts.folder import list_models, list_versions
from service.models.artifacts.labels import read_labels
from service.models.versions.loader import ModelLoader
from service.tasks import TASKS
from tests.artifacts import golden_of, graph_of, write_artifact, write_card

HEART = TASKS["heart"]


def test_the_newest_version_is_the_highest_number(tmp_path: Path) -> None:
    """10 is newer than 9; folders that are no version are not looked at."""
    for version in ("9", "10", "1"):
        write_artifact(tmp_path, HEART, version=version)
    for other in (".incoming-x", "010", "latest", "²"):
        (tmp_path / "heart" / other).mkdir()
    assert list_versions(tmp_path, "heart") == ["1", "9", "10"]
    assert read_artifact(tmp_path, "heart").card.version == "10"
    assert list_models(tmp_path) == ["heart"]


def test_what_does_not_exist_is_unknown(tmp_path: Path) -> None:
    """A missing model, version or folder is an UnknownModel that lists what there is."""
    with pytest.raises(UnknownModel, match="there are: none"):
        read_artifact(tmp_path / "nowhere", "heart")
    write_artifact(tmp_path, HEART)
    with pytest.raises(UnknownModel, match="heart/1"):
        read_artifact(tmp_path, "heart", "7")


def test_a_folder_that_cannot_be_looked_into_is_no_model_unless_one_is_expected(
    tmp_path: Path, close: Callable[[Path], None]
) -> None:
    """Its mode or a link may be the reason; the folder of models itself has to be readable."""
    write_artifact(tmp_path, HEART)
    for other in ("credit", "lost+found"):
        (tmp_path / other).mkdir()
        close(tmp_path / other)
    (tmp_path / "link").symlink_to(tmp_path / "lost+found" / "models")
    assert list_models(tmp_path) == ["heart"]
    assert list_models(tmp_path, ["credit", "digits"]) == ["credit", "heart"]
    with pytest.raises(ArtifactError, match="credit cannot be looked into: Permission denied"):
        list_versions(tmp_path, "credit")
    close(tmp_path)
    with pytest.raises(ArtifactError, match=f"^{tmp_path} cannot be looked into"):
        list_models(tmp_path)


def damaged_model(folder: Path) -> None:
    (folder / MODEL).write_bytes((folder / MODEL).read_bytes()[:-1] + b"x")


def missing_golden(folder: Path) -> None:
    (folder / GOLDEN).unlink()


def card_without_hashes(folder: Path) -> None:
    write_card(folder, HEART, files={})


def card_of_another_contract(folder: Path) -> None:
    write_card(folder, HEART, contract_hash="0" * 64)


def card_of_an_unknown_task(folder: Path) -> None:
    write_card(folder, HEART, task="weather")


def card_of_another_folder(folder: Path) -> None:
    write_card(folder, HEART, version="3")


def card_with_a_misspelt_field(folder: Path) -> None:
    card = json.loads((folder / CARD).read_text()) | {"treshold": 0.4}
    (folder / CARD).write_text(json.dumps(card))


def no_card(folder: Path) -> None:
    (folder / CARD).unlink()


def card_that_is_a_pipe(folder: Path) -> None:
    (folder / CARD).unlink()
    os.mkfifo(folder / CARD)


def model_that_is_a_pipe(folder: Path) -> None:
    (folder / MODEL).unlink()
    os.mkfifo(folder / MODEL)


def not_a_graph(folder: Path) -> None:
    (folder / MODEL).write_bytes(b"hello")
    write_card(folder, HEART)


def graph_of_another_task(folder: Path) -> None:
    onnx.save(graph_of(TASKS["credit"]), folder / MODEL)
    write_card(folder, HEART)


def graph_that_answers_otherwise(folder: Path) -> None:
    onnx.save(graph_of(HEART, bias=0.01), folder / MODEL)
    write_card(folder, HEART)


def golden_answers_of_nan(folder: Path) -> None:
    inputs = golden_of(HEART)
    np.savez(folder / GOLDEN, input=inputs, probability=np.full(len(inputs), np.nan))
    write_card(folder, HEART)


def background_of_another_task(folder: Path) -> None:
    rows = np.zeros((2, 3), np.float32)
    np.savez(folder / BACKGROUND, rows=rows, weights=np.ones(2, np.int64))
    write_card(folder, HEART)


def background_without_weight(folder: Path) -> None:
    rows = np.zeros((2, 13), np.float32)
    np.savez(folder / BACKGROUND, rows=rows, weights=np.array([1, 0]))
    write_card(folder, HEART)


def background_that_is_none(folder: Path) -> None:
    (folder / BACKGROUND).write_bytes(b"hello")
    write_card(folder, HEART)


def changed_background(folder: Path) -> None:
    (folder / BACKGROUND).write_bytes(b"hello")


def sparse(file: Path) -> None:
    """Make a file of 3 GiB that takes no room on disk."""
    with file.open("wb") as written:
        written.truncate(3 * 2**30)


def card_of_gibibytes(folder: Path) -> None:
    sparse(folder / CARD)


def model_of_gibibytes(folder: Path) -> None:
    sparse(folder / MODEL)


def background_that_unpacks_to_gibibytes(folder: Path) -> None:
    with zipfile.ZipFile(folder / BACKGROUND, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rows.npy", bytes(80 * 2**20))
    write_card(folder, HEART)


def model_that_is_a_link_elsewhere(folder: Path) -> None:
    (folder / MODEL).rename(folder.parents[1] / "elsewhere.onnx")
    (folder / MODEL).symlink_to(folder.parents[1] / "elsewhere.onnx")


def version_that_is_a_link_elsewhere(folder: Path) -> None:
    elsewhere = folder.parents[1].with_name(f"{folder.parents[1].name}-elsewhere")
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere)


def card_that_names_a_file_elsewhere(folder: Path) -> None:
    card = json.loads((folder / CARD).read_text())
    card["files"] |= {"../1/model.onnx": card["files"][MODEL]}
    (folder / CARD).write_text(json.dumps(card))


FAULTS: list[tuple[Callable[[Path], None], str]] = [
    (damaged_model, "model.onnx is not the file its card describes"),
    (missing_golden, "golden.npz cannot be read"),
    (card_without_hashes, "no sha256 for golden.npz, model.onnx"),
    (card_of_another_contract, "trained for another contract"),
    (card_of_an_unknown_task, "task 'weather' is unknown"),
    (card_of_another_folder, "the card is that of heart/3"),
    (card_with_a_misspelt_field, "treshold"),
    (no_card, "card.json cannot be read"),
    (card_that_is_a_pipe, "card.json cannot be read: it is no regular file"),
    (model_that_is_a_pipe, "model.onnx cannot be read: it is no regular file"),
    (not_a_graph, "ONNX Runtime cannot load model.onnx"),
    (graph_of_another_task, "tensors differ"),
    (graph_that_answers_otherwise, "golden answers differ on CPUExecutionProvider"),
    (golden_answers_of_nan, "golden answers differ"),
    (background_of_another_task, "expected rows of 13 fields and as many weights"),
    (background_without_weight, "expected weights above 0"),
    (background_that_is_none, "background.npz cannot be read"),
    (changed_background, "background.npz is not the file its card describes"),
    (card_of_gibibytes, "card.json cannot be read: it has 3,221,225,472 bytes, more than"),
    (model_of_gibibytes, "model.onnx cannot be read: it has 3,221,225,472 bytes, more than"),
    (background_that_unpacks_to_gibibytes, "background.npz unpacks to 83,886,080 bytes, more than"),
    (model_that_is_a_link_elsewhere, '"model.onnx" leads out of the version\'s folder'),
    (version_that_is_a_link_elsewhere, "it leads out of the folder of models"),
    (card_that_names_a_file_elsewhere, "model.onnx\" leads out of the version's folder"),
]


@pytest.mark.parametrize(("spoil", "reason"), FAULTS, ids=lambda f: getattr(f, "__name__", ""))
def test_a_faulty_version_is_refused_with_its_reason(
    tmp_path: Path, spoil: Callable[[Path], None], reason: str
) -> None:
    """Whatever is wrong with an artifact, it is not served, and the reason says what."""
    spoil(write_artifact(tmp_path, HEART))
    with pytest.raises(ArtifactError, match=reason):
        ModelLoader(tmp_path, TASKS, "cpu").load_version("heart")


def test_a_sound_version_is_served(tmp_path: Path) -> None:
    """The other side of the test above: untouched, the same artifact loads."""
    folder = write_artifact(tmp_path, HEART)
    loaded = ModelLoader(tmp_path, TASKS, "cpu").load_version("heart")
    assert loaded.ref.version == "1"
    assert loaded.card.files[MODEL] == sha256(folder / MODEL)


def test_what_was_checked_is_what_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A graph that is exchanged between the two has no effect: the file is read once."""
    folder = write_artifact(tmp_path, HEART)
    verify = Artifact.verify

    def verify_and_exchange(artifact: Artifact, contract: Contract) -> dict[str, bytes]:
        contents = verify(artifact, contract)
        (folder / MODEL).write_bytes(b"another graph")
        return contents

    monkeypatch.setattr(Artifact, "verify", verify_and_exchange)
    assert ModelLoader(tmp_path, TASKS, "cpu").load_version("heart").card.version == "1"


def test_labels_that_come_twice_are_refused(tmp_path: Path) -> None:
    """A parser would keep the last, and roll back by it without a word."""
    (tmp_path / "labels.json").write_text('{"stable": "1", "next": "2", "stable": "2"}')
    with pytest.raises(ArtifactError, match=r'labels\.json has "stable" more'):
        read_labels(tmp_path)
