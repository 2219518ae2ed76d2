"""`foretell tune`: parameters, folds, resuming, and the files written."""

import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
import pytest

from service.cli import main
from training.evaluation.folds import Folds
from training.evaluation.grid_search.grid import (
    BadGrid,
    Values,
    list_cells,
    list_parameters,
    parse_grid,
    with_values,
)
from training.evaluation.grid_search.report import Cell, grid_table, rank_cells, write_picture
from training.evaluation.grid_search.trials import Study, Trial, TrialFile
from training.fitting.checkpoint import reproducibility_key
from training.recipes import TASK_TRAININGS
from training.recipes.heart import mlp16

HEART = TASK_TRAININGS["heart"]
MLP16 = HEART.recipes["mlp16"]
PARAMETERS = list_parameters(HEART, MLP16)
STUDY = Study(
    task="heart", recipe="mlp16", data="", fingerprint="", rows=9, folds=2, seed=0, libraries={},
    contract="", code="", device="",
)  # fmt: skip


def tune(folder: Path, *options: str) -> list[str]:
    """Return a small command of eight trials, unless the options give another grid."""
    grid = (
        [] if "--grid" in options else ["--grid", "hidden=2,4", "--grid", "learning_rate=.01,9e37"]
    )
    return ["tune", "heart", "--smoke", "--recipe", "mlp16", "--rows", "120", "--folds", "2",
            "--reports", str(folder), *grid, *options]  # fmt: skip


def lines(folder: Path) -> list[Trial]:
    """Return the trials on disk, in the order of their values and folds."""
    (path,) = folder.glob("tune/heart-mlp16/*/trials.jsonl")
    trials = [Trial.model_validate_json(line) for line in path.read_text().splitlines()[1:]]
    return sorted(trials, key=lambda trial: (str(trial.values), trial.fold))


@pytest.fixture(scope="module")
def parallel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run a grid search in two processes and return the folder of its reports."""
    folder = tmp_path_factory.mktemp("parallel")
    assert main(tune(folder, "--processes", "2")) == 0
    return folder


def test_parameters_are_the_numbers_of_recipe_network_and_optimizer() -> None:
    """Parameters have their present values, those of a partial included."""
    found = {(p.home, p.name): p.present for p in PARAMETERS}
    assert found == {
        ("recipe", "epochs"): 300,
        ("recipe", "batch_size"): 32,
        ("recipe", "patience"): 15,
        ("network", "hidden"): 16,
        ("optimizer", "learning_rate"): 1e-3,
    }
    credit = TASK_TRAININGS["credit"]
    ensemble = list_parameters(credit, credit.recipes["mlp-ensemble"])
    assert "width" not in [parameter.name for parameter in ensemble]
    softmax = list_parameters(TASK_TRAININGS["digits"], TASK_TRAININGS["digits"].recipes["softmax"])
    assert {p.name: p.present for p in softmax}["learning_rate"] == 0.1
    assert "label_smoothing" in [parameter.name for parameter in softmax]


def test_members_is_a_parameter_only_of_ensembles() -> None:
    """A single network's optimizer may depend on the scale of the loss: see `stack_members`."""
    for training in TASK_TRAININGS.values():
        for recipe in training.recipes.values():
            names = [parameter.name for parameter in list_parameters(training, recipe)]
            assert ("members" in names) == (recipe.members > 1)


def test_a_temperature_factor_belongs_to_its_label_smoothing() -> None:
    """The factor stays with the recipe's own smoothing, given or not, and is 1 with another."""
    training = TASK_TRAININGS["digits"]
    cnn = training.recipes["cnn"]
    assert cnn.temperature_factor != 1
    each: list[tuple[Values, float]] = [
        ({}, cnn.temperature_factor),
        ({"label_smoothing": cnn.label_smoothing}, cnn.temperature_factor),
        ({"label_smoothing": 0.2}, 1.0),
        ({"label_smoothing": 0.0}, 1.0),
    ]
    for values, temperature_factor in each:
        assert (
            with_values(cnn, list_parameters(training, cnn), values).temperature_factor
            == temperature_factor
        )


def test_a_grid_is_every_combination_of_typed_values() -> None:
    """Whole numbers stay whole, and none is a value of optional parameters."""
    texts = ["epochs=1,5", "patience=none, 3", "learning_rate=1e-2"]
    grid = parse_grid(texts, MLP16, PARAMETERS)
    assert grid == {"epochs": [1, 5], "patience": [None, 3], "learning_rate": [0.01]}
    assert type(grid["epochs"][0]) is int
    assert len(list_cells(grid)) == 4
    assert list_cells(grid)[1] == {"epochs": 1, "patience": 3, "learning_rate": 0.01}


def test_values_reach_network_optimizer_and_recipe() -> None:
    """The network's parameters are counted again; patience keeps a validation split apart."""
    values: Values = {"hidden": 4, "learning_rate": 0.5, "epochs": 7, "patience": 3}
    never_validates = replace(MLP16, patience=None, validates=False)
    varied = with_values(never_validates, PARAMETERS, values)
    assert varied.network().count_params() == varied.parameters == 29 * 4 + 4 + 4 + 1
    assert float(varied.optimizer(100).learning_rate) == 0.5
    assert (varied.epochs, varied.patience, varied.validates) == (7, 3, True)
    assert not with_values(never_validates, PARAMETERS, {"patience": None}).validates


def test_a_parameter_of_network_and_optimizer_alike_is_refused() -> None:
    """An ambiguous name is an error, not a guess."""

    def network(*, learning_rate: float = 1.0) -> keras.Model:
        return mlp16()

    recipe = replace(MLP16, network=network)
    with pytest.raises(BadGrid, match="learning_rate is ambiguous: network and optimizer have it"):
        parse_grid(["learning_rate=1"], recipe, list_parameters(HEART, recipe))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["weather", "--grid", "epochs=1"], "unknown task 'weather'; there are: credit, digits"),
        (["heart", "--recipe", "cnn", "--grid", "epochs=1"], "heart has no recipe 'cnn'"),
        (["heart"], "the following arguments are required: --grid"),
        (
            ["heart", "--recipe", "mlp16", "--grid", "width=1"],
            "--grid: unknown parameter 'width'; there are: epochs (now 300), batch_size (now 32), "
            "patience (now 15), hidden (now 16), learning_rate (now 0.001)",
        ),
        (
            ["digits", "--recipe", "softmax", "--grid", "members=1,5"],
            "--grid: members: the recipe has one network; only recipes of several",
        ),
        (["heart", "--grid", "label_smoothing=0.1"], "unknown parameter 'label_smoothing'"),
        (["heart", "--grid", "epochs"], "expected name=value,value,… got 'epochs'"),
        (["heart", "--grid", "epochs="], "expected name=value,value,… got 'epochs='"),
        (["heart", "--grid", "epochs=1,,2"], "expected name=value,value,… got 'epochs=1,,2'"),
        (["heart", "--grid", "epochs=1,2,1"], "epochs: 1 is given twice"),
        (["heart", "--grid", "epochs=1", "--grid", "epochs=2"], "epochs is given twice"),
        (["heart", "--grid", "epochs=1.5"], "epochs: expected a whole number from 1, got '1.5'"),
        (["heart", "--grid", "epochs=none"], "epochs: expected a whole number from 1, got 'none'"),
        (["heart", "--grid", "patience=0"], "a whole number from 1, or none, got '0'"),
        (["heart", "--grid", "learning_rate=nan"], "expected a number from 0, got 'nan'"),
        (
            ["digits", "--grid", "label_smoothing=1"],
            "label_smoothing: expected a number from 0 and below 1, got '1'",
        ),
        (["heart", "--grid", "hidden=0"], "--grid: hidden=0: "),
        (["digits", "--grid", "dropout=1.5"], "--grid: dropout=1.5: "),
        (["heart", "--grid", "epochs=1", "--folds", "1"], "--folds: expected at least 2, got 1"),
        (["heart", "--grid", "epochs=1", "--processes", "0"], "--processes: expected at least 1"),
        (
            ["heart", "--grid", "epochs=1", "--seed", "-1"],
            "--seed: expected 0 to 4294967295, got -1",
        ),
        (["heart", "--grid", "epochs=1", "--seed", "99999999999"], "got 99999999999"),
        (
            ["heart", "--smoke", "--grid", "epochs=1", "--rows", "481"],
            "--rows: expected at most 480 (those of training and validation), got 481",
        ),
        (
            ["digits", "--smoke", "--grid", "epochs=1", "--rows", "20"],
            "too few rows for so many folds",
        ),
        (
            ["heart", "--smoke", "--grid", "epochs=1", "--reports", "/proc/none"],
            "--reports: /proc/none/tune/heart-mlp16-ensemble/",
        ),
    ],
)
def test_wrong_usage_of_tune_is_explained(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message has option, expected and got, and comes before anything is fitted."""
    with pytest.raises(SystemExit) as ended:
        main(["tune", *arguments])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("rows", [None, 300])
def test_every_row_is_held_out_once_and_no_test_row_ever(rows: int | None) -> None:
    """Rows held out are neither fitted to nor validated on, in any fold."""
    training = TASK_TRAININGS["digits"]
    data = training.prepare(training.synthetic())
    folds = Folds.of(data, 3, seed=0, rows=rows)
    assert len(folds.form.test.labels) == 0

    def pictures(part: Any) -> set[bytes]:
        return {picture.tobytes() for picture in part.inputs}

    known = pictures(data.train) | pictures(data.validation)
    held_out: list[bytes] = []
    for number in range(3):
        fold = folds.fold(number, validates=True)
        parts = [pictures(part) for part in (fold.train, fold.validation, fold.test)]
        assert sum(map(len, parts)) == len(set.union(*parts)) == (rows or len(known))
        assert set.union(*parts) <= known
        assert not set.union(*parts) & pictures(data.test)
        assert np.ptp(np.bincount(fold.test.labels)) <= 1  # each digit is as frequent
        held_out += parts[2]
    assert len(held_out) == len(set(held_out)) == (rows or len(known))


def test_only_a_recipe_that_validates_has_rows_kept_apart() -> None:
    """The share kept apart is that of the task's own split: a fifth, for heart."""
    folds = Folds.of(HEART.prepare(HEART.synthetic()), 4, seed=0)
    kept, all_of_them = folds.fold(0, validates=True), folds.fold(0, validates=False)
    assert len(all_of_them.validation.labels) == 0
    assert len(all_of_them.train.labels) == 360
    assert (len(kept.train.labels), len(kept.validation.labels)) == (288, 72)


def test_one_process_finds_what_two_find(parallel: Path, tmp_path: Path) -> None:
    """Results are equal to the last digit: each process has one thread."""
    assert main(tune(tmp_path, "--processes", "1")) == 0
    one, two = (
        [trial.model_copy(update={"seconds": 0}) for trial in lines(folder)]
        for folder in (tmp_path, parallel)
    )
    assert one == two
    assert len(one) == 8
    scored = [trial for trial in one if trial.diverged is None]
    assert len({trial.held_out["log_loss"] for trial in scored}) == len(scored) == 4


def test_a_cell_that_diverges_is_named_and_stops_no_other(parallel: Path) -> None:
    """The other cells have scores and stand above it in the table; the plot is drawn."""
    (page,) = parallel.glob("tune/heart-mlp16/*/hidden-learning_rate-????????.md")
    table = page.read_text(encoding="utf-8")
    assert table.splitlines()[0] == (
        "# foretell tune heart --recipe mlp16 --grid hidden=2,4 --grid learning_rate=0.01,9e+37 "
        "--folds 2 --rows 120 --seed 0 --smoke"
    )
    rows = re.findall(r"^\| .*$", table, re.MULTILINE)[1:]
    assert [("diverged on 2 of 2 folds" in row) for row in rows] == [False, False, True, True]
    assert rows[0].count("±") == 6
    assert "**0.01**" in rows[0]
    assert "120 rows of synthetic-heart" in table
    assert "**Not the published data.**" in table
    assert f"![Scores]({page.stem}.png)" in table
    picture = cv2.imread(str(page.with_suffix(".png")))
    assert picture is not None
    assert picture.shape[0] > 500


def test_a_grid_that_diverges_everywhere_has_a_table_and_no_plot(
    parallel: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The earlier table and plot of the same study stay as they are."""
    (folder,) = parallel.glob("tune/heart-mlp16/*")
    before = {path.name: path.read_bytes() for path in folder.glob("hidden-*")}
    assert len(before) == 2
    assert main(tune(parallel, "--grid", "learning_rate=9e37", "--grid", "hidden=2,4")) == 1
    printed = capsys.readouterr()
    assert "4 trials, 4 of them taken from" in printed.out
    assert "no cell could be fitted on every fold" in printed.err
    (page,) = folder.glob("learning_rate-*")
    assert "![Scores]" not in page.read_text(encoding="utf-8")
    assert {path.name: path.read_bytes() for path in folder.glob("hidden-*")} == before


def test_studies_and_interrupted_fits_are_kept_by_the_same_facts(parallel: Path) -> None:
    """The key holds the contract, the code, every library that a fit uses, and the device."""
    (path,) = parallel.glob("tune/heart-mlp16/*/trials.jsonl")
    study = Study.model_validate_json(path.read_text().splitlines()[0])
    facts = reproducibility_key(HEART)
    assert {name: getattr(study, name) for name in facts} == facts
    assert {"keras", "numpy", "cv2", "sklearn", keras.backend.backend()} == set(study.libraries)
    assert facts["contract"] == HEART.task.contract.hash


def test_an_interrupted_run_reuses_its_trials(
    parallel: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A larger grid after an incomplete line fits the missing trials only."""
    (path,) = parallel.glob("tune/heart-mlp16/*/trials.jsonl")
    before = lines(parallel)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])  # as when the machine stops in the middle of a line
    lost = Trial.model_validate_json(whole.splitlines()[-1])
    values = {"hidden": "2,4", "learning_rate": ".01,9e37"}
    larger = tune(parallel, "--grid", f"hidden={values['hidden']}",
                  "--grid", f"learning_rate={values['learning_rate']},0.02",
                  "--grid", "batch_size=32")  # fmt: skip
    assert main(larger) == 0
    printed = capsys.readouterr().out
    assert "12 trials, 7 of them taken from" in printed
    assert len(re.findall(r"^\[\d+/12\]", printed, re.MULTILINE)) == 5
    after = lines(parallel)
    assert len(after) == 12
    found = {(str(trial.values), trial.fold): trial for trial in after}
    for trial in before:
        again = found[str(trial.values), trial.fold]
        assert again.held_out == trial.held_out
        assert again == trial or (trial.values, trial.fold) == (lost.values, lost.fold)
    assert main(larger) == 0
    printed = capsys.readouterr().out
    assert "12 trials, 12 of them taken from" in printed
    assert not re.search(r"^\[", printed, re.MULTILINE)


def test_a_file_without_a_complete_header_is_started_again(tmp_path: Path) -> None:
    """A study killed while it wrote its header starts from an empty file."""
    path = tmp_path / "trials.jsonl"
    path.write_text('{"task": "he')
    file = TrialFile(path, STUDY)
    file.add(trial := Trial(values={"epochs": 1}, fold=1))
    again = TrialFile(path, STUDY)
    assert Study.model_validate_json(path.read_text().splitlines()[0]) == STUDY
    assert again.find({"epochs": 1}, 1) == trial
    assert again.find({"epochs": 1}, 0) is None


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"rows": 8},
        {"folds": 3},
        {"fingerprint": "x"},
        {"code": "x"},
        {"contract": "x"},
        {"device": "gpu:0"},
        {"libraries": {"cv2": "0"}},
    ],
)
def test_studies_that_differ_share_nothing(change: dict[str, Any]) -> None:
    """Other data, folds, seed or code have another folder."""
    assert STUDY.model_copy(update=change).folder != STUDY.folder


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_stopped_leaves_no_process_and_can_go_on(
    end: signal.Signals, tmp_path: Path
) -> None:
    """Ctrl-C to all, and a kill of the first process, end every worker and keep finished trials."""
    # Processes started from the background of a shell ignore Ctrl-C.
    code = (
        "import signal, sys; from service.cli import main; "
        "signal.signal(signal.SIGINT, signal.default_int_handler); sys.exit(main(sys.argv[1:]))"
    )
    endless = ("--grid", "epochs=1,1000000", "--grid", "patience=none", "--processes", "1")
    running = subprocess.Popen(
        [sys.executable, "-c", code, *tune(tmp_path, *endless)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert running.stdout is not None
    for line in running.stdout:
        if line.startswith("[2/4]"):
            break
    if end is signal.SIGINT:
        os.killpg(running.pid, end)
    else:
        running.kill()
    # Reads to the end of its output, which a worker would hold open.
    _, errors = running.communicate(timeout=60)
    assert len(lines(tmp_path)) == 2
    if end is signal.SIGINT:
        assert running.returncode == 130
        assert "stopped; 2 of 4 trials are kept in" in errors
        assert "Traceback" not in errors


def scored(values: dict[str, Any], log_loss: float) -> Cell:
    """Build a cell of two folds with made-up scores."""
    trials = [
        Trial(
            values=values,
            fold=fold,
            seconds=2.5,
            train={"accuracy": 0.9, "log_loss": log_loss - 0.1},
            held_out={"accuracy": 0.8 + fold / 10, "log_loss": log_loss},
        )
        for fold in range(2)
    ]
    return Cell(values, trials)


def test_the_table_has_the_best_cell_first_and_standard_deviations() -> None:
    """The lowest held-out log-loss comes first, in bold."""
    table = grid_table([scored({"epochs": 1}, 0.5), scored({"epochs": 5}, 0.3)]).splitlines()
    assert [name.strip() for name in table[0].split("|")[1:-1]] == [
        "epochs",
        "accuracy training",
        "accuracy held out",
        "log-loss training",
        "log-loss held out",
        "seconds",
    ]
    assert [cell.strip() for cell in table[2].split("|")[1:-1]] == [
        "**5**",
        "0.9000 ± 0.0000",
        "0.8500 ± 0.0500",
        "0.2000 ± 0.0000",
        "0.3000 ± 0.0000",
        "2.5",
    ]
    assert table[3].split("|")[1].strip() == "1"


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_plot_is_drawn_for_any_number_of_parameters(count: int, tmp_path: Path) -> None:
    """One, two and three parameters are drawn, with a diverged cell among them."""
    grid: dict[str, list[Any]] = {
        name: [1, None] for name in ("epochs", "patience", "members")[:count]
    }
    drawn = [scored(values, 0.3 + 0.1 * place) for place, values in enumerate(list_cells(grid))]
    gone = Cell(drawn[-1].values, [Trial(values={}, fold=0, diverged="NaN")])
    write_picture([*drawn[:-1], gone], grid, tmp_path / "grid.png", "a title")
    picture = cv2.imread(str(tmp_path / "grid.png"))
    assert picture is not None
    assert picture.std() > 10
    assert rank_cells([gone, *drawn])[0] is drawn[0]
