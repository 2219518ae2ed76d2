"""Grid search, `foretell tune`: the grid, its trials and their report."""
