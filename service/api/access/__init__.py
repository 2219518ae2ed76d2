"""Who may call what: asked once, at the front door, for every protocol."""
