"""The OVSDB databases: OVN northbound and the host's Open vSwitch. Nothing else imports ``ovs``."""
