"""Metrics, repeated cross-validation, fairness, intervals: how good a network is."""
