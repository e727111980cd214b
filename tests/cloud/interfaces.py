"""Interfaces of domains of every kind: their MAC addresses, and a network of libvirt's on the integration bridge."""

from __future__ import annotations

MACS = [f"52:54:00:aa:00:0{n}" for n in range(5)]
NETWORK = """<network><name>net1</name><forward mode='bridge'/><bridge name='br-int'/><virtualport type='openvswitch'/>
<portgroup name='green'/><portgroup name='nowhere'/></network>"""
