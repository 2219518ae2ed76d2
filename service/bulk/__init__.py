"""Whole tables and folders at once, by HTTP or by file; no HTTP in here."""
