"""Processes that decode tables for a worker of the service: those that may unpack to anything."""
