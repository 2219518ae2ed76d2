"""Who may call what: asked once for each call, at the front door, for every protocol."""
