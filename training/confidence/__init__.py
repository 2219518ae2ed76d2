"""Conformal sets and in-distribution scores: fitted, measured, recomputed."""
