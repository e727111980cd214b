"""Interfaces of domains: MAC addresses, a network of libvirt's for them, plugging them in, addresses in the guest."""

from __future__ import annotations

from lab import Guest, LabHost
from tests.cloud.world import World

MACS = [f"52:54:00:aa:00:0{n}" for n in range(5)]
NETWORK = """<network><name>net1</name><forward mode='bridge'/><bridge name='br-int'/><virtualport type='openvswitch'/>
<portgroup name='green'/><portgroup name='nowhere'/></network>"""


def device(host: LabHost, verb: str, name: str, xml: str, *options: str) -> None:
    """Plug an interface in or out."""
    host.run(["virsh", verb, name, "/dev/stdin", *options], input=xml)


def address(world: World, guest: Guest, mac: str) -> str:
    """Let a guest ask for an address on an interface that it has got, and tell which."""
    find = f"grep -l {mac} /sys/class/net/*/address | cut -d/ -f5"
    world.wait_for(lambda: guest.console(find, check=False).strip(), f"the device {mac}")
    nic = guest.console(find).strip()
    guest.console(f"ip link set {nic} up; udhcpc -i {nic} -s /lab/lease -q -n -t 100 -T 1")
    return guest.wait_address(mac)
