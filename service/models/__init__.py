"""From the folder models/ to the version that answers."""
