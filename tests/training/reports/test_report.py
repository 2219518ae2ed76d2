"""Reports as `foretell train` and `foretell evaluate` write them."""

import re
import shutil
from base64 import b64decode
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from service.cli import main
from service.models.artifacts.artifact import read_artifact
from service.models.artifacts.card import Card
from training.cli import MODELS_DIR
from training.evaluation.metrics import measure
from training.recipes import TASK_TRAININGS
from training.reports.report import write_report

VOID = {"meta", "img"}


@dataclass
class Page(HTMLParser):
    """A report as parsed: its text, its tables by id, its pictures; every tag must be closed."""

    html: str
    text: str = ""
    pictures: list[str] = field(default_factory=list)
    tables: list[list[list[str]]] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep addresses and cells."""
        assert tag not in {"script", "link", "iframe"}
        values = dict(attrs)
        self.addresses += [v for k, v in attrs if k in {"src", "href", "srcset"} and v]
        if tag == "img":
            assert values["alt"]
            self.pictures.append(values["src"] or "")
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in {"td", "th"}:
            self.tables[-1][-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Check that the tag opened last is closed."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Keep text."""
        if "style" in self.open:
            assert "url(" not in data
            return
        self.text += data
        if self.open and self.open[-1] in {"td", "th"}:
            self.tables[-1][-1][-1] += " ".join(data.split())


def read(reports: Path, name: str, version: str = "1") -> Page:
    return Page((reports / name / version / "index.html").read_text(encoding="utf-8"))


def check_pictures(page: Page, folder: Path) -> set[str]:
    """Check that the page holds each PNG beside it and none is blank; return their names."""
    files = {file.read_bytes(): file.name for file in folder.glob("*.png")}
    assert len(page.pictures) == len(files)
    for source in page.pictures:
        content = b64decode(source.removeprefix("data:image/png;base64,"), validate=True)
        assert content in files
        picture = np.asarray(Image.open(BytesIO(content)).convert("L"))
        assert picture.shape[0] > 200
        assert picture.shape[1] > 200
        assert (picture < 200).mean() > 0.003  # axes alone are not much less
        assert (picture > 240).mean() > 0.1
    return set(files.values())


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train two recipes of heart and a small one of digits on synthetic data, with reports."""
    folder = tmp_path_factory.mktemp("trained")
    to = ["--output", str(folder / "models"), "--reports", str(folder / "reports")]
    assert main(["train", "heart", "--recipe", "mlp16", "--smoke", "--epochs", "3", *to]) == 0
    logs = ["--tensorboard", str(folder / "logs")]
    assert main(["train", "heart", "--smoke", *to, *logs]) == 0
    assert main(["train", "digits", "--recipe", "softmax", "--smoke", *to]) == 0
    return folder


def card_of(trained: Path, name: str) -> Card:
    return read_artifact(trained / "models", name).card


def test_a_report_of_rows_has_every_part(trained: Path) -> None:
    """The page has plots, metrics with intervals, ranges, thresholds, and the other recipes."""
    page = read(trained / "reports", "heart")
    assert check_pictures(page, trained / "reports" / "heart" / "1") == {
        "history.png",
        "roc.png",
        "precision-recall.png",
        "calibration.png",
        "scores.png",
        "confusion.png",
    }
    card = card_of(trained, "heart")
    facts, figures, seen, thresholds, comparison = page.tables
    assert card.confidence is not None
    ranges = card.confidence.training_ranges
    assert [line[0] for line in seen[1:]] == [field.name for field in ranges]
    assert f"{100 * card.confidence.conformal.measured:.2f} %" in " ".join(page.text.split())
    parts = ", ".join(f"{count:,} {part}" for part, count in card.data.rows.items())
    assert ["rows", parts] in facts
    values = {line[0]: float(line[1]) for line in figures[1:]}
    assert values["AUC"] == pytest.approx(card.metrics["auc"], abs=5e-5)
    assert values["calibration slope"] == pytest.approx(card.metrics["calibration_slope"], abs=5e-5)
    low, high = map(float, {line[0]: line[2] for line in figures}["AUC"].split(" … "))
    assert low < values["AUC"] < high
    assert len(thresholds) == 20
    (at_half,) = (line for line in thresholds if line[0] == "0.50")
    assert float(at_half[5]) == pytest.approx(card.metrics["accuracy"], abs=5e-4)
    assert sorted(line[0] for line in comparison[1:]) == ["mlp16", "mlp16-ensemble"]
    assert comparison[0][5] == "µs"
    rows = card.data.rows["test"]
    error = (card.metrics["accuracy"] * (1 - card.metrics["accuracy"]) / rows) ** 0.5
    assert f"its test part has {rows} rows" in " ".join(page.text.split())
    assert f"standard error of {error:.4f}" in " ".join(page.text.split())
    assert "Not the published data" in page.text


def test_a_report_of_pictures_has_the_worst_mistakes(trained: Path) -> None:
    """The page has no ROC and no thresholds, which are for yes-or-no answers."""
    page = read(trained / "reports", "digits-softmax")
    assert check_pictures(page, trained / "reports" / "digits-softmax" / "1") == {
        "history.png",
        "confusion.png",
        "classes.png",
        "calibration.png",
        "mistakes.png",
    }
    _, figures, comparison = page.tables
    card = card_of(trained, "digits-softmax")
    assert [line[0] for line in figures[1:]] == [
        "accuracy",
        "log-loss (nats)",
        "expected calibration error",
    ]
    assert float(figures[1][1]) == pytest.approx(card.metrics["accuracy"], abs=5e-5)
    assert [line[0] for line in comparison[1:]] == ["softmax"]
    wrong = card.data.rows["test"] - sum(card.curves.confusion[i][i] for i in range(10))
    assert f"of {wrong}, the highest loss first" in page.text


@pytest.mark.parametrize("name", ["heart", "digits-softmax"])
def test_a_page_needs_nothing_else(trained: Path, name: str) -> None:
    """The page has no script and no address but its own pictures, and a dark theme."""
    page = read(trained / "reports", name)
    assert all(address.startswith("data:image/png;base64,") for address in page.addresses)
    assert "prefers-color-scheme: dark" in page.html
    assert not re.search(r"https?://", re.sub(r"base64,[^\"]*", "", page.html))


def test_the_card_keeps_what_the_report_draws(trained: Path) -> None:
    """The card has each epoch, latency and curves in less than 60 KB, lists on one line."""
    card = card_of(trained, "heart-mlp16")
    history = card.training.history
    assert set(history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert all(len(values) == 3 == card.training.epochs for values in history.values())
    assert set(card_of(trained, "heart").training.history) == {"loss", "accuracy"}
    assert 1 < card.training.latency_us < 10_000
    assert sum(map(sum, card.curves.confusion)) == card.data.rows["test"]
    text = (trained / "models" / "heart-mlp16" / "1" / "card.json").read_text()
    assert len(text) < 60_000
    assert re.search(r'^ +"loss": \[\d\.\d+, \d\.\d+, \d\.\d+\],?$', text, re.MULTILINE)
    assert Card.model_validate_json(text) == card


def test_tensorboard_logs_are_written_on_request(trained: Path) -> None:
    """Each training writes events of its epochs to a folder of its own."""
    (run,) = (trained / "logs").iterdir()
    assert re.fullmatch(r"heart-\d{8}-\d{6}-\d{6}", run.name)
    (events,) = (run / "train").glob("events.out.tfevents.*")
    assert b"epoch_loss" in events.read_bytes()


def test_a_card_that_cannot_be_read_costs_no_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A model of an older format is named and left out of the comparison."""
    old = tmp_path / "models" / "heart-old" / "1"
    old.mkdir(parents=True)
    (old / "card.json").write_text("{}")
    to = ["--output", str(tmp_path / "models"), "--reports", str(tmp_path / "reports")]
    assert main(["train", "heart", "--recipe", "mlp16", "--smoke", *to]) == 0
    printed = capsys.readouterr()
    assert "heart-old is not compared: card.json is not a card" in printed.err
    assert f"report: {tmp_path / 'reports' / 'heart-mlp16' / '1' / 'index.html'}" in printed.out
    assert read(tmp_path / "reports", "heart-mlp16").tables[-1][1][0] == "mlp16"


def test_words_from_a_card_are_escaped(trained: Path, tmp_path: Path) -> None:
    """Text that looks like a tag stays text."""
    artifact = read_artifact(trained / "models", "heart-mlp16")
    card = artifact.card.model_copy(update={"limits": "<b>1 & 2</b>"})
    training = TASK_TRAININGS["heart"]
    model = measure(replace(artifact, card=card), training.prepare(training.synthetic()).test)
    write_report(model, [card], trained / "models", tmp_path)
    assert "&lt;b&gt;1 &amp; 2&lt;/b&gt;" in read(tmp_path, "heart-mlp16").html


def test_evaluate_writes_the_reports_of_all_models(
    tmp_path: Path, data_dir: Path | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two committed models are measured again, and the metrics equal their cards'."""
    models, reports = tmp_path / "models", tmp_path / "reports"
    for name in ("heart", "credit"):  # test_models.py measures all there are
        shutil.copytree(MODELS_DIR / name, models / name)
    data = [] if data_dir is None else ["--data-dir", str(data_dir)]
    assert main(["evaluate", "--models-dir", str(models), "--reports", str(reports), *data]) == 0
    for name in ("heart", "credit"):
        card = read_artifact(models, name).card
        page = read(reports, name, card.version)
        assert check_pictures(page, reports / name / card.version)
        assert float(page.tables[1][1][1]) == pytest.approx(card.metrics["accuracy"], abs=1e-3)
        assert "Differs from its card" not in page.text
        assert "Not the published data" not in page.text
    assert str(reports / "heart") in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "option"),
    [("train", "reports"), ("train", "tensorboard"), ("evaluate", "reports")],
)
def test_a_folder_that_cannot_be_written_is_an_error_at_once(
    command: str, option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message comes before data are read or anything is fitted."""
    file = tmp_path / "file"
    file.touch()
    task = ["heart", "--output", str(tmp_path / "models")] if command == "train" else []
    missing = ["--data-dir", str(tmp_path / "none"), "--reports", str(tmp_path / "reports")]
    with pytest.raises(SystemExit) as ended:
        main([command, *task, *missing, f"--{option}", str(file / "folder")])
    assert ended.value.code == 2
    assert f"--{option}: {file / 'folder'}: Not a directory" in capsys.readouterr().err
