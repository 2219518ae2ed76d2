"""Evaluation: metrics, repeated cross-validation, fairness, intervals, grid search."""
