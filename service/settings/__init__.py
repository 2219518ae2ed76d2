"""Settings: everything that an operator can choose."""
