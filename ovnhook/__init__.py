"""ovnhook: a cloud's network for plain libvirt VMs, on OVN."""

__version__ = "0.1.0"
