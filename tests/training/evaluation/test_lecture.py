"""The lecture's own heart.csv: its faults, counted, and the comparison with the clean data."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from service.cli import main
from training.data.datasets import DataDiffers, load_heart
from training.evaluation import lecture
from training.evaluation.lecture import load_lecture, standardise
from training.recipe import Protocol
from training.recipes import heart

THAL = {"normal": 3.0, "fixed": 6.0, "reversible": 7.0}
UNTOUCHED = ["age", "sex", "trestbps", "chol", "fbs", "thalach", "exang", "oldpeak", "ca"]


@pytest.fixture(scope="module")
def raw(copies: Path) -> pd.DataFrame:
    """Read the lecture's file as it is."""
    return pd.read_csv(copies / "heart" / "heart.csv")


@pytest.fixture(scope="module")
def clean(copies: Path) -> pd.DataFrame:
    """Read UCI's file, with `num` 0..4."""
    names = [*load_heart(copies).features, "num"]
    file = copies / "heart" / "processed.cleveland.data"
    return pd.read_csv(file, names=names, na_values="?")


def matched(raw: pd.DataFrame, clean: pd.DataFrame) -> pd.DataFrame:
    """Join each row of the lecture's file with the `num` of the patient with the same 13 values."""
    same = raw.assign(thal=raw.thal.map(THAL), row=raw.index)
    columns = [name for name in clean if name != "num"]
    return same.merge(
        clean.drop_duplicates(columns).assign(patient=clean.index), how="left", on=columns
    )


def test_the_lectures_label_is_num_of_two_and_more(raw: pd.DataFrame, clean: pd.DataFrame) -> None:
    """The label of 297 rows is num >= 2: 54 ill patients, with num 1, count as healthy."""
    rows = matched(raw, clean).dropna(subset="num")
    assert len(rows) == 297
    assert ((rows.num >= 2) == rows.target).all()
    assert (rows.num == 1).sum() == 54


def test_the_lectures_file_lacks_the_six_patients_with_missing_values(
    raw: pd.DataFrame, clean: pd.DataFrame
) -> None:
    """The missing patients are exactly those without ca (4) or thal (2)."""
    gone = set(clean.index) - set(matched(raw, clean).patient.dropna())
    assert gone == set(clean.index[clean.isna().any(axis=1)])
    assert len(gone) == 6


def test_six_rows_are_patients_again_recoded_and_called_healthy(
    raw: pd.DataFrame, clean: pd.DataFrame
) -> None:
    """Rows 247-252 repeat 241-246 with other codes; all six patients are ill."""
    rows = matched(raw, clean)
    assert rows.row[rows.num.isna()].tolist() == list(range(247, 253))
    again, first = raw.loc[247:252], raw.loc[241:246]
    assert (again[UNTOUCHED].to_numpy() == first[UNTOUCHED].to_numpy()).all()
    assert (rows.num[241:247] > 0).all()
    assert again.target.sum() == 0
    assert first.target.sum() == 3  # the same patient, ill and healthy
    assert set(raw.index[raw.cp == 0]) | set(raw.index[raw.thal.isin(["1", "2"])]) <= set(
        again.index
    )
    assert (raw.cp == 0).sum() == 4
    assert raw.thal.isin(["1", "2"]).sum() == 2


def test_the_lectures_29_columns_are_six_numbers_and_23_codes(copies: Path) -> None:
    """The columns are those of pandas.get_dummies; numbers are standardised, codes are kept."""
    data = load_lecture(copies)
    assert data.features.shape == (303, 29)
    assert data.label.sum() == 83
    assert list(data.features)[:6] == heart.NUMBERS
    assert {"cp_0", "thal_1", "thal_2"} <= set(data.features)
    rows = data.features.to_numpy(np.float32)
    columns = np.asarray(standardise(rows)(rows))
    np.testing.assert_allclose(columns[:, :6].mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(columns[:, :6].std(axis=0), 1, atol=1e-4)
    assert (columns[:, 6:] == rows[:, 6:]).all()


def test_another_file_is_not_the_lectures(tmp_path: Path, raw: pd.DataFrame) -> None:
    """A changed label, and a file without the recoded rows, are refused by name."""
    folder = tmp_path / "heart"
    folder.mkdir()
    for changed, message in (
        (raw.assign(target=1 - raw.target), "other values in target"),
        (raw[raw.cp > 0], "other values in the columns of cp_0"),
        (raw.drop(columns="ca"), "no column ca"),
    ):
        text = io.StringIO()
        changed.to_csv(text, index=False)
        (folder / "heart.csv").write_text(text.getvalue())
        with pytest.raises(DataDiffers, match=message):
            load_lecture(tmp_path)


def test_the_lecture_is_measured_beside_the_clean_data_and_not_exported(
    copies: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are measured by one protocol, here of one fold, and the page says why not exported."""
    one = Protocol("one fold", lambda data: [heart.repeats(data)[0][:1]])
    monkeypatch.setattr(heart, "TRAINING", replace(heart.TRAINING, protocol=one))
    monkeypatch.setattr(lecture, "TRAINING", replace(lecture.TRAINING, protocol=one))
    arguments = ["train", "heart", "--lecture-data", "--epochs", "1", "--data-dir", str(copies)]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "83 of 303 ill; calling nobody ill is right for 72.6%" in printed
    assert "139 of 303 ill; calling nobody ill is right for 54.1%" in printed
    assert "Nothing is exported" in printed
    assert "See docs/method/data.md" in printed
    assert "num >= 2" in (
        Path(lecture.__file__).parents[2] / "docs" / "method" / "data.md"
    ).read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["credit"], "--lecture-data: expected the task heart, got credit"),
        (["--all"], "--lecture-data: expected the task heart, got none"),
        (["heart", "--recipe", "mlp16"], "no --recipe with it"),
        (["heart", "--output", "elsewhere"], "no --output with it"),
        (["heart", "--smoke"], "no --smoke with it"),
        (["heart", "--seed", "1"], "no --seed with it"),
        (["heart", "--epochs", "0"], "--epochs: expected at least 1, got 0"),
    ],
)
def test_options_that_make_no_sense_with_the_lectures_data_are_errors(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message comes before any data are read."""
    with pytest.raises(SystemExit) as ended:
        main(["train", "--lecture-data", *arguments])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
