"""Processes that decode pictures for a worker of the service."""
