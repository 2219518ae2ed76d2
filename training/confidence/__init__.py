"""Conformal sets and out-of-distribution scores: fitted, measured, recomputed."""
