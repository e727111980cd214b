"""A floating IP address, which leads to one lease. Pure."""
