"""Sets a host up: what is to be so on it, step by step."""
