"""Data, fit, evaluate, export: Keras networks to artifacts that the service can trust."""
