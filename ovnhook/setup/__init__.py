"""Set-up of a host in idempotent steps."""
