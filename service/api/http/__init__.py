"""HTTP only: each module takes requests apart and puts answers together; nothing here computes."""
