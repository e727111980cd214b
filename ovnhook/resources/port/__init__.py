"""A port: an interface of a running domain. Pure."""
