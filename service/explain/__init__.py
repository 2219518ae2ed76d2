"""Explanations of answers: no HTTP in here, and nothing that knows a task by name."""
