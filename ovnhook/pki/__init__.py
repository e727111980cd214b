"""Who is trusted, and how that is proved: certificates, tokens, the files of keys, the firewall between hosts."""
