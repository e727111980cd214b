"""The host's own network: bridges, packet filter, routes and processes that serve guests."""
