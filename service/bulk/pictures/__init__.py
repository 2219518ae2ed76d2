"""Folders and zip files of pictures, scored into a table."""
