"""Folds for cross-validation of the rows that are not in the test split."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold, train_test_split

from training.recipe import DataSplits, Split, concat

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Folds:
    """Training and validation rows together, with the number of each row's fold."""

    rows: Split
    number: Rows
    form: DataSplits
    """The facts of the data set, with empty splits."""
    validation: float
    """The share of a fold's training rows that is kept apart for a recipe that validates."""
    seed: int

    @classmethod
    def of(cls, data: DataSplits, count: int, seed: int, rows: int | None = None) -> "Folds":
        """Assign all rows, or a stratified sample of `rows`, to `count` folds, stratified by label.

        Raises ValueError if a label has fewer rows than there are folds.
        """
        pool = concat(data.train, data.validation)
        total = len(pool.labels)
        if rows is not None and rows != total:
            chosen, _ = train_test_split(
                np.arange(total), train_size=rows, stratify=pool.labels, random_state=seed
            )
            pool = Split(pool.inputs[chosen], pool.labels[chosen])
        fewest = int(np.unique(pool.labels, return_counts=True)[1].min())
        if fewest < count:
            raise ValueError(f"{count} folds of a label that {fewest} rows have")
        number = np.empty(len(pool.labels), np.int64)
        split = StratifiedKFold(count, shuffle=True, random_state=seed)
        for fold, (_, held_out) in enumerate(split.split(pool.labels, pool.labels)):
            number[held_out] = fold
        none = Split(pool.inputs[:0], pool.labels[:0])
        return cls(
            rows=pool,
            number=number,
            form=replace(data, train=none, validation=none, test=none),
            validation=len(data.validation.labels) / total,
            seed=seed,
        )

    def split(self, fold: int, *, validates: bool) -> tuple[Rows, Rows, Rows]:
        """Return the row numbers to fit to, to validate on (none unless `validates`) and held out.

        Raises ValueError if the rows are too few to keep some of each label for validation.
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
        """Return the same as splits, with the held-out rows as the test split."""
        train, validation, held_out = (
            Split(self.rows.inputs[these], self.rows.labels[these])
            for these in self.split(fold, validates=validates)
        )
        return replace(self.form, train=train, validation=validation, test=held_out)
