"""Versions of one model: which are served, which answers, and how the folder is followed."""

import gc
import json
import os
import shutil
import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import structlog

from service.errors import ModelNotReady, UnknownModel
from service.models.artifacts.folder import UNLOADED
from service.models.artifacts.labels import LABELS
from service.models.runtime.loaded import LoadedModel
from service.models.versions.admin import load
from service.models.versions.registry import ModelRegistry, ModelSelector
from service.settings.version_policy import parse_version_policies
from service.tasks import TASKS
from tests.artifacts import graph_of, write_artifact, write_card

HEART = TASKS["heart"]
Open = Callable[..., ModelRegistry]
Close = Callable[[Path], None]


def publish(models_dir: Path, version: str, *, name: str = "heart", damaged: bool = False) -> Path:
    """A version whose answers are its own, in place at once, as training writes one."""
    written = write_artifact(
        models_dir / ".incoming", HEART, name=name, version=version,
        graph=graph_of(HEART, bias=float(version) / 10),
    )  # fmt: skip
    if damaged:
        (written / "model.onnx").write_bytes(b"damaged")
    (models_dir / name).mkdir(exist_ok=True)
    folder = models_dir / name / version
    shutil.rmtree(folder, ignore_errors=True)
    return written.rename(folder)


def damage(models_dir: Path, version: str) -> None:
    """A file that is not what the card says."""
    (models_dir / "heart" / version / "model.onnx").write_bytes(b"damaged")


def label(models_dir: Path, **labels: object) -> None:
    """Write labels.json."""
    (models_dir / "heart" / LABELS).write_text(json.dumps(labels))


def states(registry: ModelRegistry) -> dict[str, str]:
    """State by version of heart."""
    return {found.version: found.state for found in registry.versions_of("heart").states()}


def answering(registry: ModelRegistry) -> str:
    """The version that answers by default."""
    return registry.default_of("heart").card.version


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    """Opens a repository of heart with these versions, and loads it."""

    def open_it(*versions: str, policy: str = "latest", **labels: str) -> ModelRegistry:
        for version in versions:
            publish(tmp_path, version)
        if labels:
            label(tmp_path, **labels)
        registry = ModelRegistry(tmp_path, {"heart": HEART}, "cpu", parse_version_policies(policy))
        registry.refresh()
        return registry

    return open_it


@pytest.mark.parametrize(
    ("policy", "served", "default"),
    [("latest", ["10"], "10"), ("latest:2", ["9", "10"], "10"), ("1,9,77", ["1", "9"], "9")],
)
def test_the_policy_says_what_is_served(
    opened: Open, policy: str, served: list[str], default: str
) -> None:
    """Versions are numbers, so that 10 is newer than 9; the rest are known, and not served."""
    registry = opened("1", "9", "10", policy=policy)
    assert [v for v, state in states(registry).items() if state == "ready"] == served
    assert set(states(registry).values()) == {"ready", "not_served"}
    assert answering(registry) == default
    assert [registry.for_model("heart", version).card.version for version in served] == served


def test_a_label_serves_its_version_beside_the_policys(opened: Open) -> None:
    """Its number and its label name it; the default version stays as it is."""
    registry = opened("1", "2", "3", canary="1")
    assert states(registry) == {"1": "ready", "2": "not_served", "3": "ready"}
    assert registry.for_model("heart", "canary") is registry.for_model("heart", "1")
    assert answering(registry) == "3"
    assert registry.versions_of("heart").states()[0].labels == ("canary",)


def test_stable_answers_calls_that_name_no_version(opened: Open, tmp_path: Path) -> None:
    """Whatever is newer; and the file is followed when it changes or goes."""
    registry = opened("1", "2", stable="1")
    assert answering(registry) == "1"
    publish(tmp_path, "3")
    registry.refresh()
    assert answering(registry) == "1"
    label(tmp_path, stable=3)
    registry.refresh()
    assert answering(registry) == "3"
    (tmp_path / "heart" / LABELS).unlink()
    publish(tmp_path, "4")
    registry.refresh()
    assert answering(registry) == "4"


@pytest.mark.parametrize(
    ("wanted", "error", "message"),
    [
        ("1", UnknownModel, "no model 'heart/1'; there are: heart/2, heart/beta"),
        ("7", UnknownModel, "no model 'heart/7'"),
        ("02", UnknownModel, "no model 'heart/02'"),
        ("", UnknownModel, "no model 'heart/'"),
        ("stable", UnknownModel, "no model 'heart/stable'"),
        ("../credit/1", UnknownModel, "no model 'heart/../credit/1'"),
        ("lost", ModelNotReady, "the label points at version 9, which is not there"),
        ("3", ModelNotReady, "sha256"),
    ],
)
def test_a_version_that_cannot_answer_is_told_from_one_there_is_not(
    opened: Open, tmp_path: Path, wanted: str, error: type[Exception], message: str
) -> None:
    """Versions that are not served are unknown; invalid and lost ones are not ready, and why."""
    publish(tmp_path, "3")
    damage(tmp_path, "3")
    registry = opened("1", "2", lost="9", beta="2")
    with pytest.raises(error, match=message):
        registry.for_model("heart", wanted)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "labels.json"),
        ("[]", "labels.json"),
        ('{"stable": "one"}', "stable"),
        ('{"stable": true}', "stable"),
        ('{"stable": "01"}', "stable"),
        ('{"2": "1"}', "2"),
        ('{"Stable": "1"}', "Stable"),
    ],
)
def test_labels_that_cannot_be_read_change_nothing(
    opened: Open, tmp_path: Path, text: str, message: str
) -> None:
    """The ones before stay in force, and the reason is told; at a start no version may answer."""
    registry = opened("1", "2", stable="1")
    (tmp_path / "heart" / LABELS).write_text(text)
    publish(tmp_path, "3")
    registry.refresh()
    versions = registry.versions_of("heart")
    assert answering(registry) == "1"
    assert message in str(versions.problem)
    assert registry.not_ready() == {}
    assert message in opened().not_ready()["heart"]


def test_labels_that_are_a_pipe_keep_nobody_waiting(opened: Open, tmp_path: Path) -> None:
    """Nobody may ever write to it."""
    registry = opened("1", "2", stable="1")
    (tmp_path / "heart" / LABELS).unlink()
    os.mkfifo(tmp_path / "heart" / LABELS)
    registry.refresh()
    problem = registry.versions_of("heart").problem
    assert problem == "labels.json cannot be read: it is no regular file"
    assert answering(registry) == "1"


@pytest.mark.parametrize("unloaded", [False, True])
def test_labels_that_cannot_be_read_are_told_once_whatever_else_is_wrong(
    opened: Open, tmp_path: Path, unloaded: bool
) -> None:
    """On top of a `stable` that points at nothing, and of a model that is taken out of use."""
    registry = opened("1", stable="1")
    versions = registry.versions_of("heart")
    label(tmp_path, stable="77")
    if unloaded:
        (tmp_path / "heart" / UNLOADED).touch()
    registry.refresh()
    with structlog.testing.capture_logs() as events:
        for text in ("{", "{", "{}", "{"):
            (tmp_path / "heart" / LABELS).write_text(text)
            registry.refresh()
    assert [e["event"] for e in events].count("labels invalid") == 2
    if not unloaded:
        assert str(versions.problem).startswith("labels.json does not map labels to versions")
        assert answering(registry) == "1"


def test_a_folder_that_cannot_be_looked_into_is_nobodys(
    opened: Open, tmp_path: Path, close: Close
) -> None:
    """Like the lost+found of a volume: at a start and later, and for an operator's load."""
    (tmp_path / "lost+found").mkdir()
    close(tmp_path / "lost+found")
    with structlog.testing.capture_logs() as events:
        registry = opened("1")
        publish(tmp_path, "2")
        registry.refresh()
        load(registry, "heart")
    assert answering(registry) == "2"
    assert registry.expected == ["heart"]
    assert {e["event"] for e in events} == {"model loaded", "version changed", "version released"}


def test_a_model_whose_folder_cannot_be_looked_into_is_refused_alone(
    opened: Open, tmp_path: Path, close: Close
) -> None:
    """It goes on answering, if it did; one reason, logged once; the others are followed."""
    publish(tmp_path, "1", name="heart-other")
    registry = opened("1")
    before = registry.default_of("heart")
    close(tmp_path / "heart")
    close(tmp_path / "heart-other" / "1")
    publish(tmp_path, "2", name="heart-other")
    with structlog.testing.capture_logs() as events:
        registry.refresh()
        registry.refresh()
    reason = f"{tmp_path / 'heart'} cannot be looked into: Permission denied"
    assert [e["reason"] for e in events if e["event"] == "folder unreadable"] == [reason]
    assert registry.default_of("heart") is before
    assert registry.versions_of("heart").problem == reason
    assert registry.default_of("heart-other").card.version == "2"
    anew = opened()
    assert anew.not_ready() == {"heart": reason}
    (tmp_path / "heart").chmod(0o755)
    for each in (registry, anew):
        each.refresh()
        assert (answering(each), each.versions_of("heart").problem) == ("1", None)


def test_a_folder_whose_files_cannot_be_reached_changes_nothing(
    opened: Open, tmp_path: Path, close: Close
) -> None:
    """Its names can be read, and nothing else: whether the model is unloaded cannot be told."""
    registry = opened("1")
    before = registry.default_of("heart")
    close(tmp_path / "heart")
    (tmp_path / "heart").chmod(0o444)
    registry.refresh()
    assert registry.default_of("heart") is before
    assert "heart cannot be looked into" in str(registry.versions_of("heart").problem)


def test_models_that_cannot_be_looked_into_at_all_go_on_answering(
    opened: Open, tmp_path: Path, close: Close
) -> None:
    """The volume may have gone away; at a start they are not ready; the reason is told."""
    publish(tmp_path, "1", name="heart-other")
    registry = opened("1")
    close(tmp_path)
    with structlog.testing.capture_logs() as events:
        anew = opened()
        for _ in range(2):
            registry.refresh()
    reason = f"{tmp_path} cannot be looked into: Permission denied"
    assert [e["reason"] for e in events] == [reason, reason]
    assert anew.not_ready() == {"heart": reason}
    assert answering(registry) == "1"
    assert registry.versions_of("heart-other").problem == reason
    tmp_path.chmod(0o755)
    for each in (registry, anew):
        each.refresh()
        assert (answering(each), each.versions_of("heart").problem) == ("1", None)


def test_an_invalid_version_is_not_served_and_the_old_one_is(opened: Open, tmp_path: Path) -> None:
    """Readiness untouched; tried again only when its files change."""
    registry = opened("1")
    before = registry.default_of("heart")
    publish(tmp_path, "2")
    damage(tmp_path, "2")
    tried: list[str] = []
    loader = registry.versions_of("heart").loader
    load_version = loader.load

    def load_counted(name: str, version: str) -> LoadedModel:
        tried.append(version)
        return load_version(name, version)

    loader.load = load_counted
    for _ in range(3):
        registry.refresh()
    assert tried == ["2"]
    assert states(registry) == {"1": "ready", "2": "invalid"}
    assert "sha256" in str(registry.versions_of("heart").states()[1].reason)
    assert registry.default_of("heart") is before
    assert registry.not_ready() == {}
    publish(tmp_path, "2")
    registry.refresh()
    assert answering(registry) == "2"
    del before
    assert states(registry) == {"1": "not_served", "2": "ready"}


@pytest.mark.parametrize("flaw", ["golden", "contract", "graph", "task", "card"])
def test_a_new_version_is_validated_in_every_respect(
    opened: Open, tmp_path: Path, flaw: str
) -> None:
    """Golden answers, the contract's hash, a graph that loads, its task, its card."""
    registry = opened("1")
    folder = publish(tmp_path, "2")
    match flaw:
        case "golden":
            other = publish(tmp_path, "9") / "golden.npz"
            other.replace(folder / "golden.npz")
            shutil.rmtree(other.parent)
            write_card(folder, HEART)
        case "contract":
            write_card(folder, HEART, contract_hash="0" * 64)
        case "graph":
            (folder / "model.onnx").write_bytes(b"no graph")
            write_card(folder, HEART)
        case "task":
            write_card(folder, HEART, task="weather")
        case "card":
            (folder / "card.json").unlink()
    registry.refresh()
    assert states(registry) == {"1": "ready", "2": "invalid"}


def test_after_a_start_too_the_newest_good_version_answers(opened: Open, tmp_path: Path) -> None:
    """It did before the start: an invalid version takes nothing out of use."""
    publish(tmp_path, "3")
    damage(tmp_path, "3")
    registry = opened("1", "2")
    assert answering(registry) == "2"
    assert registry.not_ready() == {}
    shutil.rmtree(tmp_path / "heart" / "2")
    registry.refresh()
    assert answering(registry) == "1"


def test_a_version_whose_files_change_is_loaded_anew(opened: Open, tmp_path: Path) -> None:
    """It goes on answering as before if they are invalid now."""
    registry = opened("1")
    before = registry.default_of("heart")
    publish(tmp_path, "1")
    registry.refresh()
    after = registry.default_of("heart")
    assert after is not before
    damage(tmp_path, "1")
    registry.refresh()
    assert registry.default_of("heart") is after
    (found,) = registry.versions_of("heart").states()
    assert found.state == "ready"
    assert "its files have changed, and are invalid" in str(found.reason)


def test_a_link_to_nothing_hides_no_change_of_the_other_files(opened: Open, tmp_path: Path) -> None:
    """Each entry of a version's folder is looked at by itself."""
    folder = publish(tmp_path, "1")
    (folder / "notes").symlink_to(tmp_path / "nowhere")
    registry = opened()
    before = registry.default_of("heart")
    registry.refresh()
    assert registry.default_of("heart") is before
    os.utime(folder / "model.onnx")
    registry.refresh()
    assert registry.default_of("heart") is not before


def test_files_that_change_while_they_are_loaded_are_loaded_again(
    opened: Open, tmp_path: Path
) -> None:
    """The version that was loaded may be half of each: it never answers."""
    registry = opened("1")
    publish(tmp_path, "2")
    loader = registry.versions_of("heart").loader
    load_version = loader.load

    def load_meanwhile(name: str, version: str) -> LoadedModel:
        loaded = load_version(name, version)
        (tmp_path / "heart" / version / "signature.txt").touch()
        return loaded

    loader.load = load_meanwhile
    registry.refresh()
    assert states(registry) == {"1": "ready", "2": "not_served"}
    loader.load = load_version
    registry.refresh()
    assert answering(registry) == "2"


def test_a_removed_version_is_freed_when_its_last_request_ends(
    opened: Open, tmp_path: Path
) -> None:
    """It drains until then: the request that holds it is answered by it."""
    registry = opened("1", "2")
    held = registry.default_of("heart")
    session = weakref.ref(held.session)
    shutil.rmtree(tmp_path / "heart" / "2")
    registry.refresh()
    assert states(registry) == {"1": "ready", "2": "draining"}
    assert held.predict(np.zeros((1, 13), np.float32))[0].model_dump()["model"]["version"] == "2"
    del held
    gc.collect()
    assert session() is None
    registry.refresh()
    assert states(registry) == {"1": "ready"}


def test_the_last_good_version_is_kept_while_nothing_can_take_its_place(
    opened: Open, tmp_path: Path
) -> None:
    """Removed, with only a bad one left; and what is gone altogether is gone."""
    publish(tmp_path, "1", name="heart-other")
    registry = opened("1", "2")
    damage(tmp_path, "1")
    shutil.rmtree(tmp_path / "heart" / "2")
    registry.refresh()
    assert states(registry) == {"1": "invalid", "2": "ready"}
    assert "its folder is gone" in str(registry.versions_of("heart").states()[1].reason)
    shutil.rmtree(tmp_path / "heart")
    registry.refresh()
    assert "no model 'heart'" in registry.not_ready()["heart"]
    with pytest.raises(ModelNotReady, match="no model 'heart' in"):
        registry.for_task("heart")


def test_a_folder_that_is_suddenly_empty_takes_nothing_out_of_use(
    opened: Open, tmp_path: Path
) -> None:
    """A volume that went away looks like this."""
    registry = opened("1")
    shutil.rmtree(tmp_path)
    registry.refresh()
    assert answering(registry) == "1"


def test_what_was_closed_can_be_loaded_again(opened: Open) -> None:
    """Every session is let go of; the next refresh loads as the first did."""
    registry = opened("1")
    session = weakref.ref(registry.default_of("heart").session)
    registry.close()
    gc.collect()
    assert session() is None
    assert "heart" in registry.not_ready()
    registry.refresh()
    assert answering(registry) == "1"


def test_a_new_model_is_served_and_never_takes_the_service_out_of_use(
    opened: Open, tmp_path: Path
) -> None:
    """It is not among those that readiness waits for; once removed it is unknown."""
    registry = opened("1")
    folder = publish(tmp_path, "1", name="heart-new")
    (folder / "model.onnx").write_bytes(b"damaged")
    registry.refresh()
    assert registry.not_ready() == {}
    with pytest.raises(ModelNotReady, match="sha256"):
        registry.for_task("heart", ModelSelector("heart-new"))
    publish(tmp_path, "1", name="heart-new")
    registry.refresh()
    assert registry.for_task("heart", ModelSelector("heart-new")).card.name == "heart-new"
    shutil.rmtree(tmp_path / "heart-new")
    registry.refresh()
    with pytest.raises(UnknownModel, match="there are: heart"):
        registry.for_task("heart", ModelSelector("heart-new"))


def test_a_card_can_be_read_of_versions_that_are_not_served(opened: Open, tmp_path: Path) -> None:
    """It is read from disk; a file that is no card, or an unknown version, is an error."""
    versions = opened("1", "2", "3", old="1").versions_of("heart")
    assert states(opened())["2"] == "not_served"
    assert [versions.card(wanted).version for wanted in ("2", "3", "old")] == ["2", "3", "1"]
    (tmp_path / "heart" / "2" / "card.json").write_text("{}")
    with pytest.raises(ModelNotReady, match=r"is not a card: name: Field required"):
        versions.card("2")
    with pytest.raises(UnknownModel, match="there are: heart/1, heart/2, heart/3"):
        versions.card("4")
