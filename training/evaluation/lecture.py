"""The lecture's heart.csv, 29 columns and network, measured beside the clean data.

Nothing is exported; docs/method/data.md lists the faults of the file.
"""

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.data.datasets import TabularData
from training.data.downloads import Parts, VerifiedDownload, fingerprint
from training.data.sources import LECTURE, LECTURE_MIRRORS, LECTURE_PRINTS
from training.evaluation.cross_validation import Figures, measure_splits, metrics_table
from training.recipes import heart

CODED = ["sex", "cp", "fbs", "restecg", "exang", "ca", "thal"]
TARGET = "target"
RECIPE = "mlp16"
WHY_NOT = """\
Nothing is exported: the label of the lecture's file is num >= 2 and not num > 0, six patients with
missing values are gone, six others are in it twice, recoded and labelled healthy. A model of it
would contradict the contract of /v1/heart/predict. See docs/method/data.md."""


def load_lecture(data_dir: Path | None = None) -> TabularData:
    """Load the file as the lecture reads it: six numbers and 23 columns of 0 or 1, by get_dummies.

    Reads heart/heart.csv from `data_dir`, or else from $FORETELL_DATA_DIR; where neither is given,
    downloads once. Raises DataError.
    """
    file = VerifiedDownload(
        folder="heart",
        names=("heart.csv",),
        mirrors=LECTURE_MIRRORS,
        home=LECTURE.home,
        shape=(303,),
        prints=LECTURE_PRINTS,
        parse=parse_lecture,
    )
    parts = file.read(data_dir)
    columns = pd.DataFrame(parts)
    return TabularData(
        source=LECTURE,
        features=columns.drop(columns=TARGET),
        label=parts[TARGET].astype(np.int64),
        fingerprint=fingerprint(parts),
        published=True,
    )


def parse_lecture(raw: bytes) -> Parts:
    """Parse thirty columns by name, float64; the last is the label. Raises ValueError."""
    table = pd.read_csv(BytesIO(raw))
    if missing := [name for name in (*CODED, TARGET) if name not in table]:
        raise ValueError(f"no column {', '.join(missing)}")
    label = table.pop(TARGET)
    columns = pd.get_dummies(table, columns=CODED).assign(**{TARGET: label})
    if differing := sorted(set(columns.columns.astype(str)) ^ set(LECTURE_PRINTS)):
        raise ValueError(f"other values in the columns of {', '.join(differing)}")
    return {name: columns[name].to_numpy(np.float64) for name in LECTURE_PRINTS}


def standardise(rows: NDArray[np.float32]) -> keras.layers.Normalization:
    """Build a layer that standardises the six numbers by the training rows, and keeps the codes."""
    numbers = len(heart.NUMBERS)
    mean, variance = np.zeros(rows.shape[1]), np.ones(rows.shape[1])
    mean[:numbers] = rows[:, :numbers].mean(axis=0)
    variance[:numbers] = rows[:, :numbers].var(axis=0)
    return keras.layers.Normalization(mean=mean, variance=variance, name="preprocessing")


TRAINING = replace(
    heart.TRAINING,
    load=load_lecture,
    preprocessing=standardise,
    recipes={RECIPE: heart.TRAINING.recipes[RECIPE]},
    default=RECIPE,
)


def lecture_page(data_dir: Path | None, epochs: int | None) -> str:
    """Fit the lecture's network to its file and to the clean data; format both as Markdown."""
    figures: dict[str, Figures] = {}
    lines = []
    for words, training, module in (
        ("the lecture's heart.csv", TRAINING, __name__),
        ("Cleveland, as published", heart.TRAINING, heart.__name__),
    ):
        label = training.load(data_dir).label  # type: ignore[union-attr]  # it is a table
        lines.append(
            f"{words}: {label.sum()} of {len(label)} ill; calling nobody ill is right for "
            f"{1 - label.mean():.1%}"
        )
        figures[words] = measure_splits(training, RECIPE, data_dir, epochs=epochs, module=module)[0]
    table = metrics_table(figures)
    return "\n\n".join([heart.TRAINING.protocol.words, "\n".join(lines), table, WHY_NOT])
