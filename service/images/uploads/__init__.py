"""Many pictures at once: taken out of what was uploaded, or out of folders, and answered."""
