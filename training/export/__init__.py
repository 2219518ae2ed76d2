"""Exports: a fitted network to ONNX, and a version's folder on disk."""
