"""Everything that an operator chooses."""
