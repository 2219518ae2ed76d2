"""Metrics by a task's evaluation protocol."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from service.cli import main
from service.tasks.heart import TASK
from training import evaluate_commands, options
from training.data.synthetic import synthetic_digits, synthetic_heart
from training.evaluation import fairness
from training.evaluation.cross_validation import mean_std, measure_splits, remove_fields
from training.evaluation.metrics import expected_calibration_error
from training.fitting.fit import Fitted, fit
from training.layers.calibration import Calibration, fit_log_odds
from training.recipes import TASK_TRAININGS


def test_in_every_repeat_of_heart_each_patient_is_tested_once() -> None:
    """Each patient is in one test split of a repeat, and never in that fold's other splits."""
    training = TASK_TRAININGS["heart"]
    data = synthetic_heart()
    everybody = sorted(r.tobytes() for r in data.features.to_numpy(np.float32))
    repeats = training.protocol.repeats(data)
    assert [len(folds) for folds in repeats] == [5] * 10
    for folds in repeats[:2]:
        assert sorted(r.tobytes() for fold in folds for r in fold.test.inputs) == everybody
        for fold in folds:
            seen = {r.tobytes() for part in (fold.train, fold.validation) for r in part.inputs}
            assert not seen & {r.tobytes() for r in fold.test.inputs}


def test_credit_is_split_five_times_and_first_as_its_models_are() -> None:
    """The first of five test splits is that of the exported models."""
    training = TASK_TRAININGS["credit"]
    data = training.synthetic()
    repeats = training.protocol.repeats(data)
    assert [len(folds) for folds in repeats] == [1] * 5
    assert (repeats[0][0].test.inputs == training.prepare(data).test.inputs).all()


def test_pictures_are_fitted_three_times_and_each_accuracy_is_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three seeds on one test split are printed with mean, standard deviation and each accuracy."""
    training = replace(TASK_TRAININGS["digits"], load=lambda _: synthetic_digits(600, 100))
    figures = measure_splits(training, "dense32", None, processes=1, epochs=1)[0]
    assert set(figures) == {"accuracy", "log_loss", "ece"}
    assert len(figures["accuracy"]) == 3
    assert len(set(figures["log_loss"])) == 3
    monkeypatch.setattr(evaluate_commands, "measure_splits", lambda *_, **__: {0: figures})
    assert main(["evaluate", "digits", "--recipe", "dense32"]) == 0
    printed = capsys.readouterr().out
    each = ", ".join(f"{value:.4f}" for value in figures["accuracy"])
    assert f"dense32, accuracy of each repeat: {each}" in printed
    assert mean_std(figures["accuracy"]) in printed


def test_metrics_by_group_are_of_networks_fitted_for_the_requested_epochs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--epochs` applies to `--fairness` too."""
    training = TASK_TRAININGS["credit"]
    made_up = replace(training, load=lambda _: training.synthetic())
    monkeypatch.setattr(options, "TASK_TRAININGS", {"credit": made_up})
    fits = []

    def recorded(*arguments: Any, **options: Any) -> Fitted:
        fits.append(fit(*arguments, **options))
        return fits[-1]

    monkeypatch.setattr(fairness, "fit", recorded)
    assert main(["evaluate", "credit", "--recipe", "logistic", "--fairness", "--epochs", "2"]) == 0
    assert [fitted.epochs for fitted in fits] == [2]
    assert "sex: female" in capsys.readouterr().out


def test_calibration_metrics_of_calibrated_overconfident_and_useless_answers() -> None:
    """Log-odds doubled have slope 1/2; calibrated ones slope 1 and an error below .01."""
    rng = np.random.default_rng(0)
    odds = rng.normal(0, 1.5, 50_000)
    honest, loud = 1 / (1 + np.exp(-odds)), 1 / (1 + np.exp(-2 * odds))
    labels = (rng.random(len(odds)) < honest).astype(np.int64)
    assert fit_log_odds(honest, labels)[0] == pytest.approx(1, abs=0.03)
    assert fit_log_odds(loud, labels)[0] == pytest.approx(0.5, abs=0.02)
    assert expected_calibration_error(honest, labels) < 0.01 < 0.05
    assert expected_calibration_error(np.ones(4), np.array([1, 0, 0, 1])) == 0.5


def test_calibration_corrects_overconfident_and_biased_answers() -> None:
    """Slope 1 and intercept 0 are restored within 1e-3, and the order of answers stays."""
    rng = np.random.default_rng(0)
    odds = rng.normal(-1, 1.5, 50_000)
    labels = (rng.random(len(odds)) < 1 / (1 + np.exp(-odds))).astype(np.int64)
    loud = (1 / (1 + np.exp(-2 * odds - 0.5))).astype(np.float32).reshape(-1, 1)
    calibration = Calibration()
    calibration.adapt(loud, labels)
    straight = np.asarray(calibration(loud)).reshape(-1)
    slope, intercept = fit_log_odds(straight, labels)
    assert slope == pytest.approx(1, abs=1e-3)
    assert intercept == pytest.approx(0, abs=1e-3)
    assert (np.diff(straight[np.argsort(loud[:, 0])]) >= -1e-6).all()  # float32 near certainty
    certain = np.asarray(calibration(np.array([[0.0], [1.0]], np.float32)))
    assert np.isfinite(certain).all()


def test_removing_fields_removes_the_number_given_of_each_row() -> None:
    """Exactly `count` optional fields of each row become NaN, and never age or sex."""
    rows = synthetic_heart().features.to_numpy(np.float32)
    rows = rows[~np.isnan(rows).any(axis=1)]
    for count in (0, 4, 11):
        gone = np.isnan(remove_fields(TASK, rows, count, np.random.default_rng(0)))
        assert (gone.sum(axis=1) == count).all()
        assert not gone[:, :2].any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["wine"], "unknown task 'wine'; there are: "),
        (["heart", "--recipe", "cnn"], "heart has no recipe 'cnn'"),
        (["credit", "--missing"], "credit has no optional field"),
        (["--missing"], "--missing goes with a task"),
        (["--epochs", "0"], "--epochs goes with a task"),
        (["heart", "--epochs", "0"], "--epochs: expected at least 1, got 0"),
        (["digits", "--epochs", "-1"], "--epochs: expected at least 1, got -1"),
        (["credit", "--fairness", "--epochs", "0"], "--epochs: expected at least 1, got 0"),
        (
            ["credit", "--confidence", "--epochs", "1"],
            "--epochs: no network of credit is fitted for --confidence",
        ),
    ],
)
def test_wrong_usage_of_evaluate_is_explained(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message comes before any data are read."""
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", *arguments])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
