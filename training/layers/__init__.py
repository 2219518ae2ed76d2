"""Keras layers that end up in the exported graph."""
