"""Background rows that explanations compare with: medians of clusters, nobody's own record."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from scipy.stats import rankdata
from sklearn.cluster import KMeans

from service.contract.fields import Feature
from service.models.artifacts.artifact import BACKGROUND, Background

SIZE = 20
FEWEST = 5
"""The fewest members of a cluster: the median of fewer reveals too much about each of them."""
SEED = 0


def compute_background(rows: NDArray[np.float32], features: tuple[Feature, ...]) -> Background:
    """Compute `SIZE` rows that represent the training rows float32[N, F]; fewer where N is small.

    K-means clusters ranks and one-hot codes. A row holds the median of every number and the most
    frequent code (the smallest of several) of a cluster, among members with a recorded value. Its
    weight is the size of the cluster.
    """
    coordinates = _coordinates(rows, features)
    cluster = _clusters(coordinates)
    members = [rows[cluster == number] for number in range(cluster.max() + 1)]
    centres = [[_centre(m[:, i], f) for i, f in enumerate(features)] for m in members]
    return Background(rows=np.array(centres, np.float32), weights=np.bincount(cluster))


def write_background(background: Background, folder: Path) -> None:
    """Write background.npz into a version's folder."""
    rows, weights = background.rows, background.weights
    np.savez_compressed(folder / BACKGROUND, rows=rows, weights=weights)


def _coordinates(rows: NDArray[np.float32], features: tuple[Feature, ...]) -> NDArray[np.float64]:
    """Compute coordinates with about equal weight of fields: ranks from 0 to 1, codes one-hot."""
    columns = []
    for values, feature in zip(rows.T, features, strict=True):
        if feature.kind == "code":
            # Two rows of different codes are 1 apart, as the lowest and the highest number are.
            columns += [(values == code) * np.sqrt(0.5) for code in sorted(feature.codes)]
        else:
            ranks = rankdata(values, nan_policy="omit") / len(values)
            columns.append(np.nan_to_num(ranks, nan=0.5))
    return np.stack(columns, axis=1)


def _clusters(coordinates: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the cluster number of each row; no cluster has fewer than `FEWEST` rows.

    Each centre first gets `FEWEST` rows, by the assignment with the least total squared distance;
    every other row joins the nearest centre.
    """
    size = min(SIZE, len(coordinates) // FEWEST)
    fitted = KMeans(size, n_init=4, random_state=SEED).fit(coordinates)
    distances = cdist(fitted.cluster_centers_, coordinates, "sqeuclidean")
    cluster = np.argmin(distances, axis=0)
    seats, rows = linear_sum_assignment(np.repeat(distances, FEWEST, axis=0))
    cluster[rows] = seats // FEWEST
    return np.asarray(cluster)


def _centre(values: NDArray[np.float32], feature: Feature) -> float:
    recorded = values[~np.isnan(values)]
    if not len(recorded):
        return float("nan")
    if feature.kind == "number":
        return float(np.median(recorded))
    codes, counts = np.unique(recorded, return_counts=True)
    return float(codes[counts.argmax()])
