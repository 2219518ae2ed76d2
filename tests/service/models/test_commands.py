"""`foretell models`: list, show, verify, promote, roll back, compare."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from service.cli import main
from service.models.artifacts.artifact import SIGNATURE
from service.models.artifacts.folder import UNLOADED
from service.models.artifacts.labels import LABELS
from service.models.versions.registry import ModelRegistry
from tests.artifacts import write_card
from tests.service.models.test_versions import HEART, label, publish


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Heart in versions 1, 2, 3 (damaged) and 4."""
    for version in ("1", "2", "4"):
        publish(tmp_path, version)
    publish(tmp_path, "3", damaged=True)
    return tmp_path


def run(models: Path, *arguments: str) -> int:
    """The command's exit status."""
    return main(["models", "--models-dir", str(models), *arguments])


def answering(models: Path) -> str:
    """Return the default version of a service over this folder."""
    registry = ModelRegistry(models, {"heart": HEART}, "cpu")
    registry.refresh()
    return registry.default_of("heart").card.version


def test_every_version_is_listed_with_its_labels(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line each; the folder may be given before or after the command's name."""
    label(models, stable="2", canary="4")
    assert run(models) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == ["1", "2", "3", "4"]
    assert lines[1].endswith("[stable]")
    assert lines[3].endswith("[canary]")
    assert main(["models", "list", "heart", "--models-dir", str(models)]) == 0
    assert capsys.readouterr().out.splitlines() == lines


def test_a_card_is_shown(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The version is named by a number or a label; by default it is `stable`'s."""
    label(models, stable="2")
    for version in ("2", "stable", None):
        assert run(models, "show", "heart", *([version] if version else [])) == 0
        shown = capsys.readouterr().out.splitlines()
        assert "version: 2" in shown
        assert "labels: ['stable']" in shown
        assert "  accuracy: 0.5" in shown


def test_verifying_names_what_would_be_refused(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The reason is printed, and the exit status is 1; for a valid version alone it is 0."""
    assert run(models, "verify") == 1
    output = capsys.readouterr()
    assert [line.split(":")[0] for line in output.out.splitlines()] == [
        "heart/1",
        "heart/2",
        "heart/4",
    ]
    assert "foretell: heart/3: model.onnx is not the file its card describes" in output.err
    assert run(models, "verify", "heart", "2") == 0


@pytest.mark.parametrize("action", ["list", "verify"])
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"stable": "5"}', "the label stable points at version 5, which is not there"),
        ("{", "labels.json does not map labels to versions: labels.json: Invalid JSON"),
    ],
)
def test_labels_that_a_service_could_not_follow_are_named(
    models: Path, action: str, text: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The service's reason is printed beside the versions, and the exit status is 1."""
    shutil.rmtree(models / "heart" / "3")
    (models / "heart" / LABELS).write_text(text)
    assert run(models, action) == 1
    output = capsys.readouterr()
    assert len(output.out.splitlines()) == 3
    assert output.err.startswith(f"foretell: heart: {reason}")
    registry = ModelRegistry(models, {"heart": HEART}, "cpu")
    registry.refresh()
    assert registry.not_ready()["heart"].startswith(reason)


def test_versions_of_an_unloaded_model_say_so(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is printed behind their labels."""
    label(models, stable="2")
    (models / "heart" / UNLOADED).touch()
    assert run(models, "list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert all(line.endswith("  (unloaded)") for line in lines)
    assert "[stable]  (unloaded)" in lines[1]


@pytest.mark.parametrize("action", ["list", "verify"])
def test_a_closed_folder_is_one_line_where_it_is_a_models(
    models: Path, action: str, close: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """A task's, or the one asked for; the rest is told as ever. So is one that is all of them."""
    shutil.rmtree(models / "heart" / "3")
    for name in ("credit", "lost+found"):
        (models / name).mkdir()
        close(models / name)
    closed = f"foretell: {{0}}: {models}/{{0}} cannot be looked into: Permission denied\n"
    assert run(models, action) == 1
    output = capsys.readouterr()
    assert output.err == closed.format("credit")
    assert len(output.out.splitlines()) == 3
    assert run(models, action, "lost+found") == 1
    assert capsys.readouterr().err == closed.format("lost+found")
    close(models)
    assert run(models, action) == 1
    closed = f"foretell: {models} cannot be looked into: Permission denied\n"
    assert capsys.readouterr().err == closed


def test_promotion_and_rollback_say_what_a_service_answers_with(models: Path) -> None:
    """There and back by way of `previous`, then past the damaged one; `latest` undoes it all."""
    assert answering(models) == "4"
    label(models, canary="1")
    assert run(models, "promote", "heart", "canary") == 0
    assert json.loads((models / "heart" / LABELS).read_text()) == {
        "canary": "1",
        "stable": "1",
        "previous": "4",
    }
    assert answering(models) == "1"
    assert run(models, "promote", "heart", "1") == 0
    assert run(models, "rollback", "heart") == 0
    assert answering(models) == "4"
    assert run(models, "rollback", "heart") == 0
    assert answering(models) == "2"
    assert run(models, "promote", "heart", "latest") == 0
    assert json.loads((models / "heart" / LABELS).read_text()) == {"canary": "1"}
    assert answering(models) == "4"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["promote", "heart", "3"], "model.onnx is not the file its card describes"),
        (["promote", "heart", "9"], "no model 'heart/9'; there are: heart/1"),
        (["promote", "nobody", "latest"], "no model 'nobody'; there are: heart"),
        (["promote", "../heart", "1"], "no model '../heart'"),
        (["rollback", "nobody"], "no model 'nobody'"),
        (["list", "nobody"], "no model 'nobody'"),
        (["verify", "nobody"], "no model 'nobody'"),
        (["verify", "heart", "stable"], "no model 'heart/stable'"),
        (["show", "heart", "03"], "no model 'heart/03'"),
        (["diff", "heart", "1", "canary"], "no model 'heart/canary'"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_changes_nothing(
    models: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 1, no labels written."""
    assert run(models, *arguments) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("foretell: ")
    assert not (models / "heart" / LABELS).exists()


def test_predict_answers_with_the_stable_version(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The service does so too."""
    label(models, stable="2")
    row = ["--json", '{"age": 60, "sex": 1}', "--models-dir", str(models)]
    assert main(["predict", "heart", *row]) == 0
    assert json.loads(capsys.readouterr().out)["model"] == {"name": "heart", "version": "2"}


def test_without_a_good_version_before_there_is_no_rollback(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is none without any valid version either."""
    label(models, stable="1")
    assert run(models, "rollback", "heart") == 1
    assert "no valid version before heart/1" in capsys.readouterr().err
    (models / "heart" / LABELS).unlink()
    for version in ("1", "2", "4"):
        shutil.rmtree(models / "heart" / version)
    assert run(models, "rollback", "heart") == 1
    assert "there is nothing to go back from" in capsys.readouterr().err


def test_labels_that_cannot_be_read_are_not_written_over(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever wrote them meant something."""
    (models / "heart" / LABELS).write_text("{stable: 1}")
    assert run(models, "promote", "heart", "1") == 1
    assert "labels.json" in capsys.readouterr().err
    assert (models / "heart" / LABELS).read_text() == "{stable: 1}"


GRAPH = """tf2onnx (float[unk__{n},13] features) => (float[unk__9] probability)
   <float[2] "functional_{n}/sub/y:0" =  {{{means}}}, int64[1] const_fold_opt__{n} =  {{-1}}>
{{
   ["functional_{n}/dense_{n}/Relu"] "functional_{n}/dense_{n}/Relu:0" = Relu (features)
{more}   [Reshape] probability = Reshape ("functional_{n}/dense_{n}/Relu:0", const_fold_opt__{n})
}}
"""


def test_differences_of_metrics_contract_and_graph(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only changes are listed: the numbers that Keras gives layers do not count."""
    one, two = models / "heart" / "1", models / "heart" / "2"
    (one / SIGNATURE).write_text(GRAPH.format(n=1, means="54.5,131.8", more=""))
    more = '   [Abs] "functional_7/Abs:0" = Abs ("functional_7/dense_7/Relu:0")\n'
    (two / SIGNATURE).write_text(GRAPH.format(n=7, means="55,131.8", more=more))
    write_card(one, HEART, metrics={"accuracy": 0.5, "auc": 0.25})
    write_card(two, HEART, metrics={"accuracy": 0.75}, contract_hash="0" * 64, threshold=0.4)
    assert run(models, "diff", "heart", "1", "2") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[:3]] == [
        ["metrics", "heart/1", "heart/2", "change"],
        ["accuracy", "0.5000", "0.7500", "+0.2500"],
        ["auc", "0.2500"],
    ]
    text = "\n".join(lines)
    assert "training and data:\n  threshold: 0.5 -> 0.4\n" in text
    assert f"contract:\n  hash: {HEART.contract.hash} -> {'0' * 64}\n" in text
    assert "nodes of the graph:\n  Abs: nothing -> 1\n" in text
    changes = [line.strip() for line in lines if line.startswith(("  +  ", "  -  "))]
    assert changes == [
        '-   <float[2] "functional/sub/y:0" =  {54.5,131.8}',
        '+   <float[2] "functional/sub/y:0" =  {55,131.8}',
        '+   "functional/Abs:0" = Abs ("functional/dense/Relu:0")',
    ]


def test_the_same_twice_differs_in_nothing(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A version without its graph's text is named."""
    assert run(models, "diff", "heart", "1", "1") == 0
    assert capsys.readouterr().out.splitlines()[2:] == [
        "training and data: the same",
        "confidence: the same",
        "contract: the same",
        "nodes of the graph: the same",
        "graph: the same",
    ]
    (models / "heart" / "2" / SIGNATURE).unlink()
    assert run(models, "diff", "heart", "1", "2") == 1
    assert "signature.txt of" in capsys.readouterr().err
