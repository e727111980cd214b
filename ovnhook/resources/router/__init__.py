"""A router with its subnets and its external gateway. Pure."""
