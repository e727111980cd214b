"""A lease: an address that an interface keeps for as long as its domain is defined. Pure."""
