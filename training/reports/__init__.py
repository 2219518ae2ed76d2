"""Pages and plots about each model."""
