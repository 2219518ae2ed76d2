"""The versions of models: which are served, what names they have, how they come and go."""
