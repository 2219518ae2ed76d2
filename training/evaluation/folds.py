"""The rows that networks are compared on by cross-validation. The test part is not among them."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold, train_test_split

from training.recipe import DataSplits, Split, concat

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Folds:
    """Training and validation rows together; `number` says in which fold each of them is."""

    rows: Split
    number: Rows
    form: DataSplits
    """Where they come from; its own parts are empty."""
    validation: float
    """Which share of a fold's training rows is kept apart for a recipe that wants it."""
    seed: int

    @classmethod
    def of(cls, data: DataSplits, count: int, seed: int, rows: int | None = None) -> "Folds":
        """All the rows, or a sample of them, each label as often in every fold.

        Raises ValueError if there are too few rows for that.
        """
        part = concat(data.train, data.validation)
        total = len(part.labels)
        if rows is not None and rows != total:
            chosen, _ = train_test_split(
                np.arange(total), train_size=rows, stratify=part.labels, random_state=seed
            )
            part = Split(part.inputs[chosen], part.labels[chosen])
        fewest = int(np.unique(part.labels, return_counts=True)[1].min())
        if fewest < count:
            raise ValueError(f"{count} folds of a label that {fewest} rows have")
        number = np.empty(len(part.labels), np.int64)
        split = StratifiedKFold(count, shuffle=True, random_state=seed)
        for fold, (_, held_out) in enumerate(split.split(part.labels, part.labels)):
            number[held_out] = fold
        none = Split(part.inputs[:0], part.labels[:0])
        return cls(
            rows=part,
            number=number,
            form=replace(data, train=none, validation=none, test=none),
            validation=len(data.validation.labels) / total,
            seed=seed,
        )

    def split(self, fold: int, *, validates: bool) -> tuple[Rows, Rows, Rows]:
        """The rows to learn from, those for validation (none, unless asked for), those held out.

        Raises ValueError if there are too few rows to keep some of each label for validation.
        """
        train, held_out = np.flatnonzero(self.number != fold), np.flatnonzero(self.number == fold)
        if not validates:
            return train, train[:0], held_out
        train, validation = train_test_split(
            train,
            test_size=self.validation,
            stratify=self.rows.labels[train],
            random_state=self.seed,
        )
        return train, validation, held_out

    def fold(self, fold: int, *, validates: bool) -> DataSplits:
        """The same as parts; what is held out takes the place of the test part."""
        train, validation, held_out = (
            Split(self.rows.inputs[these], self.rows.labels[these])
            for these in self.split(fold, validates=validates)
        )
        return replace(self.form, train=train, validation=validation, test=held_out)
