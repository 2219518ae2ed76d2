"""Access: the sender of each call, asked once at the front door, for every protocol."""
