"""From a fitted network to an artifact on disk."""
