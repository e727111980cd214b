"""The databases of OVN and Open vSwitch: reads and writes of what resources are as rows."""
