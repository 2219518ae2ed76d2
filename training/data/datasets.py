"""The data sets that networks are fitted to, loaded and verified.

`sources.py` describes them and lists their addresses, unless a recipe declares its own;
`downloads.py` finds or downloads their files, `file_formats.py` parses them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from service.contract.fields import Feature
from service.tasks import TASKS
from training.data.downloads import (
    DataDiffers,
    DataError,
    DataMissing,
    Parts,
    VerifiedDownload,
    fingerprint,
)
from training.data.file_formats import parse_idx, parse_table
from training.data.sources import (
    CREDIT,
    CREDIT_ALIASES,
    CREDIT_MIRRORS,
    CREDIT_PRINTS,
    HEART,
    HEART_MIRRORS,
    HEART_PRINTS,
    IDX_SHAPES,
    MNIST,
    MNIST_MIRRORS,
    MNIST_PRINTS,
    Source,
)

__all__ = [
    "DataDiffers",
    "DataError",
    "DataMissing",
    "ImageData",
    "Source",
    "TabularData",
    "load_credit",
    "load_heart",
    "load_images",
    "load_mnist",
    "task_features",
]


@dataclass(frozen=True, eq=False)
class TabularData:
    """A table with a yes-or-no label.

    `features` is float64 with columns in the contract's order, NaN = not recorded; `label` is 0 or
    1; `fingerprint` is a sha256 over the content; `published` is true for the published content.
    """

    source: Source
    features: pd.DataFrame
    label: NDArray[np.int64]
    fingerprint: str
    published: bool

    @property
    def inputs(self) -> NDArray[np.float32]:
        """Return the rows as a graph takes them, float32[N, F]."""
        return self.features.to_numpy(np.float32)

    @classmethod
    def of(cls, source: Source, task: str, parts: Parts, *, published: bool) -> "TabularData":
        """Build from columns by name, the last of which is the outcome: 0 is no, more is yes."""
        *_, outcome = parts
        return cls(
            source=source,
            features=pd.DataFrame(parts)[[feature.name for feature in task_features(task)]],
            label=(parts[outcome] > 0).astype(np.int64),
            fingerprint=fingerprint(parts),
            published=published,
        )


@dataclass(frozen=True, eq=False)
class ImageData:
    """Pictures uint8[N, height, width], white (255) on black, with labels int64[N] from 0."""

    source: Source
    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.int64]
    fingerprint: str
    published: bool

    @property
    def inputs(self) -> NDArray[np.uint8]:
        """The test pictures, as a graph takes them."""
        return self.test_images

    @classmethod
    def of(cls, source: Source, parts: Parts, *, published: bool) -> "ImageData":
        """Build from train images, train labels, test images and test labels, in this order."""
        train_images, train_labels, test_images, test_labels = parts.values()
        return cls(
            source=source,
            train_images=train_images,
            train_labels=train_labels.astype(np.int64),
            test_images=test_images,
            test_labels=test_labels.astype(np.int64),
            fingerprint=fingerprint(parts),
            published=published,
        )


def task_features(task: str) -> tuple[Feature, ...]:
    """Return the fields that the contract of a task of rows declares."""
    features = TASKS[task].contract.features
    assert features, f"{task} has no fields"
    return features


def load_heart(data_dir: Path | None = None) -> TabularData:
    """Load Cleveland heart disease: 303 patients of one clinic in the 1980s, 13 attributes.

    Label: 1 where the file's `num` (0..4) is above 0, a major vessel narrowed by more than 50 %
    (139 patients). Units: age in years, trestbps in mm Hg, chol in mg/dl, thalach in beats/min,
    oldpeak in mm; the others are codes. Missing: 4 in ca, 2 in thal, NaN here, `?` or blank in the
    files. Licence: CC BY 4.0. Citation: `HEART.citation`.

    Reads heart/processed.cleveland.data or heart/data.csv from `data_dir`, or else from
    $FORETELL_DATA_DIR; where neither is given, downloads once. Raises DataError.
    """
    file = VerifiedDownload(
        folder="heart",
        names=("processed.cleveland.data", "data.csv"),
        mirrors=HEART_MIRRORS,
        home=HEART.home,
        shape=(303,),
        prints=HEART_PRINTS,
        parse=partial(parse_table, columns=tuple(HEART_PRINTS), aliases={}),
    )
    return TabularData.of(HEART, "heart", file.read(data_dir), published=True)


def load_credit(data_dir: Path | None = None) -> TabularData:
    """Load defaults of credit card clients: 30,000 clients of a bank in Taiwan, 23 attributes.

    Label: 1 where the client defaulted on the payment of October 2005 (6,636 clients). Units:
    limit, bills and payments in New Taiwan dollars, age in years; the others are codes, months run
    from September back to April 2005. Missing: none, though education 0, 5 and 6, marriage 0 and
    repayment status -2 and 0 are not among the codes that the data's author documented. The row ID
    is dropped. Licence: CC BY 4.0. Citation: `CREDIT.citation`.

    Reads credit/UCI_Credit_Card.csv, credit/data.csv or any other credit/*.csv from `data_dir`, or
    else from $FORETELL_DATA_DIR; where neither is given, downloads once. Raises DataError.
    """
    file = VerifiedDownload(
        folder="credit",
        names=("UCI_Credit_Card.csv", "data.csv", "*.csv"),
        mirrors=CREDIT_MIRRORS,
        home=CREDIT.home,
        shape=(30_000,),
        prints=CREDIT_PRINTS,
        parse=partial(parse_table, columns=tuple(CREDIT_PRINTS), aliases=CREDIT_ALIASES),
    )
    return TabularData.of(CREDIT, "credit", file.read(data_dir), published=True)


def load_mnist(data_dir: Path | None = None) -> ImageData:
    """Load MNIST: 60,000 + 10,000 digits by about 500 writers, none of whom is in both splits.

    Label: the digit, 0 to 9. Units: grey levels, 0 = paper, 255 = ink; the digit in a box of 20x20,
    centred by mass in 28x28. Missing: nothing. Licence: CC BY-SA 3.0. Citation: `MNIST.citation`.

    Reads the four idx files, mnist/train-images-idx3-ubyte[.gz] and so on, from `data_dir`, or else
    from $FORETELL_DATA_DIR; where neither is given, downloads once. Raises DataError.
    """
    return load_images(MNIST, "mnist", MNIST_MIRRORS, MNIST_PRINTS, data_dir)


def load_images(
    source: Source,
    folder: str,
    mirrors: Sequence[str],
    prints: Mapping[str, str],
    data_dir: Path | None,
) -> ImageData:
    """Load pictures from four idx files of MNIST's names and shapes, gzipped or not.

    `folder` is that of the files in a data directory, `mirrors` are addresses of such folders,
    `prints` the start of the sha256 of each file's values, by name. Raises DataError.
    """
    parts: Parts = {}
    for name, shape in IDX_SHAPES.items():
        file = VerifiedDownload(
            folder=folder,
            names=(f"{name}.gz", name),
            mirrors=tuple(f"{mirror}{name}.gz" for mirror in mirrors),
            home=source.home,
            shape=shape,
            prints={name: prints[name]},
            parse=partial(parse_idx, name=name),
        )
        parts |= file.read(data_dir)
    return ImageData.of(source, parts, published=True)
