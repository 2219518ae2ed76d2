"""Everything recorded about requests, models and workers: logs and metrics."""
