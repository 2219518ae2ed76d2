"""Keras layers and networks that end up in the exported graph."""
