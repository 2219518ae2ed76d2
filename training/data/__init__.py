"""Real data sets, verified by content, and synthetic ones of the same form."""
