"""Authentication: certificates, join tokens, key files, and the firewall and IPsec rules between control hosts."""
