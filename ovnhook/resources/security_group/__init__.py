"""Security groups: which packets reach the interfaces of a group. Pure."""
