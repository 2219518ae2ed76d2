"""Data sets: downloaded, verified, parsed, or made up."""
