"""Why a model answers what it answers: no HTTP in here, and nothing that knows a task by name."""
