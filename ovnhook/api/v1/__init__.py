"""Package ovnhook.v1."""
