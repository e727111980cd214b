"""The hypervisor agent: serves hook calls, reconciles domains with OVN, and reports the host's status."""
