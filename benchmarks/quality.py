"""Foretell's credit model beside tuned gradient-boosted trees and logistic regression.

    python benchmarks/quality.py [--splits 5] [--data-dir DIR]      (pip install 'foretell[bench]')

All are fitted on the same splits and on the engineered features of
`training/layers/credit_features.py`. Each library has a few configurations, fitted with its own
early stopping; the one with the least log-loss on the validation part is measured on the test part.
Foretell's recipe is taken as it is.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import catboost
import lightgbm
import numpy as np
import xgboost
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from training.evaluation.cross_validation import Figures, metrics_table
from training.evaluation.metrics import binary_metrics
from training.fitting.fit import fit
from training.recipe import DataSplits
from training.recipes import TASK_TRAININGS, credit

TREES, PATIENCE = 2000, 50
SHAPES = [
    {"depth": 4, "rate": 0.03, "share": 0.5},
    {"depth": 6, "rate": 0.02, "share": 0.3},
]


def lightgbms() -> Iterator[tuple[Any, dict[str, Any]]]:
    """Yield configurations, each with the arguments of its `fit`."""
    stop = lightgbm.early_stopping(PATIENCE, verbose=False)
    for shape in SHAPES:
        yield (
            lightgbm.LGBMClassifier(
                n_estimators=TREES,
                learning_rate=shape["rate"],
                num_leaves=2 ** int(shape["depth"]) - 1,
                max_depth=shape["depth"],
                min_child_samples=60,
                subsample=0.8,
                subsample_freq=1,
                colsample_bytree=shape["share"],
                reg_lambda=10,
                verbose=-1,
                random_state=0,
            ),
            {"callbacks": [stop], "eval_metric": "binary_logloss"},
        )


def xgboosts() -> Iterator[tuple[Any, dict[str, Any]]]:
    """Yield configurations, each with the arguments of its `fit`."""
    for shape in SHAPES:
        yield (
            xgboost.XGBClassifier(
                n_estimators=TREES,
                learning_rate=shape["rate"],
                max_depth=shape["depth"],
                min_child_weight=20,
                subsample=0.8,
                colsample_bytree=shape["share"],
                reg_lambda=10,
                early_stopping_rounds=PATIENCE,
                random_state=0,
            ),
            {"verbose": False},
        )


def catboosts() -> Iterator[tuple[Any, dict[str, Any]]]:
    """Yield configurations, each with the arguments of its `fit`."""
    for shape in SHAPES:
        yield (
            catboost.CatBoostClassifier(
                iterations=TREES,
                learning_rate=2 * shape["rate"],
                depth=shape["depth"],
                l2_leaf_reg=10,
                early_stopping_rounds=PATIENCE,
                allow_writing_files=False,
                random_seed=0,
                verbose=False,
            ),
            {},
        )


def answers(data: DataSplits, seed: int) -> Iterator[tuple[str, Any]]:
    """Yield each contestant's name and its probabilities on the test part."""
    encoder = credit.features(data.train.inputs)
    train, validation, test = (
        np.asarray(encoder(part.inputs)) for part in (data.train, data.validation, data.test)
    )
    training = TASK_TRAININGS["credit"]
    model = fit(training, training.recipes[training.default], data, seed=seed, quiet=True).model
    yield training.default, np.asarray(model(data.test.inputs, training=False)).reshape(-1)
    penalised = [
        LogisticRegression(C=c, max_iter=500).fit(train, data.train.labels) for c in (0.01, 0.1)
    ]
    yield "logistic regression", best(penalised, validation, data).predict_proba(test)[:, 1]
    for name, configurations in {
        "LightGBM": lightgbms,
        "XGBoost": xgboosts,
        "CatBoost": catboosts,
    }.items():
        fitted = [
            booster.fit(
                train,
                data.train.labels,
                eval_set=[(validation, data.validation.labels)],
                **options,
            )
            for booster, options in configurations()
        ]
        yield name, best(fitted, validation, data).predict_proba(test)[:, 1]


def best(models: list[Any], validation: Any, data: DataSplits) -> Any:
    """Return the model with the least log-loss on the validation part."""
    return min(
        models,
        key=lambda m: log_loss(data.validation.labels, m.predict_proba(validation)[:, 1]),
    )


def main() -> None:
    """Print the table, and the recipe's AUC less the mean AUC of the trees."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--data-dir", type=Path)
    arguments = parser.parse_args()
    training = TASK_TRAININGS["credit"]
    assert training.protocol is not None
    figures: dict[str, Figures] = {}
    splits = training.protocol.repeats(training.load(arguments.data_dir))[: arguments.splits]
    for seed, (data,) in enumerate(splits):
        for name, probability in answers(data, seed):
            of = figures.setdefault(name, {})
            for metric, value in binary_metrics(probability, data.test.labels, 0.5).items():
                of.setdefault(metric, []).append(value)
    print(metrics_table(figures))
    trees = np.mean([figures[name]["auc"] for name in ("LightGBM", "XGBoost", "CatBoost")])
    ours = np.mean(figures[training.default]["auc"])
    print(f"\nAUC of {training.default} less the trees' mean: {ours - trees:+.4f}")


if __name__ == "__main__":
    main()
