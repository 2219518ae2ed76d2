"""Whole tables: rows in one of five formats in, the same rows with answers out.

A table passes `format -> rows -> validation -> predictor -> scored rows -> format`, some thousand
rows at a time, so that memory stays flat. There is no HTTP in here: `service/api/http/batch.py` and
`service/bulk/tables/files.py` call it. PyArrow is imported when a table is read, not at start.
"""
