"""Takes all domains off a host."""
