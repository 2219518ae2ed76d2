"""Conformal sets and in-distribution scores, fitted and measured."""
