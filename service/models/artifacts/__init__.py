"""One version on disk: its card, its files, its labels, and how two versions differ."""
