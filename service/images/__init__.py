"""A picture's bytes to the array that a network knows."""
