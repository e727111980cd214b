"""A subnet: a logical switch with its addresses, DHCP and names. Pure."""
