"""The versions of models: loading, labels, traffic between them, and admin actions."""
