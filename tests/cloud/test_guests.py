"""Guests get their network from `virsh start`, and keep their address."""

from __future__ import annotations

import pytest

from lab import Guest
from lab.domain import interface_xml
from tests.cloud.interfaces import MACS, NETWORK
from tests.cloud.world import World

BRIDGE = interface_xml()


def test_every_kind_of_interface_in_one_domain(world: World) -> None:
    """One of each kind that is ours and one that isn't: each of ours has its address with its first DHCP request."""
    world.hv1.run(["virsh", "net-define", "/dev/stdin"], input=NETWORK)
    world.hv1.run(["virsh", "net-start", "net1"])
    world.hv1.run(["ip", "link", "add", "br-foreign", "type", "bridge"])
    portgroup = f"<interface type='network'><mac address='{MACS[2]}'/><source network='net1' portgroup='green'/>"
    interfaces = [
        interface_xml(MACS[0]),
        interface_xml(MACS[1], "net1"),
        f"{portgroup}<model type='virtio'/></interface>",
        f"<interface type='ethernet'><mac address='{MACS[3]}'/><model type='virtio'/></interface>",
        f"<interface type='bridge'><mac address='{MACS[4]}'/><source bridge='br-foreign'/></interface>",
    ]
    try:
        world.define(
            world.hv1,
            "kinds",
            *interfaces,
            metadata=f"<ovn:interface mac='{MACS[3]}' subnet='green' address='10.20.0.7' hostname='seven'/>",
            dhcp="once",
        )
        world.hv1.run(["virsh", "start", "--paused", "kinds"])
        for port in world.ports("kinds"):
            up = ["ovn-nbctl", "lsp-get-up", port["name"]]
            world.wait_for(lambda: world.control.run(up).stdout == "up\n", "the port to be up")  # noqa: B023
        world.hv1.run(["virsh", "resume", "kinds"])
        guest = Guest(world.hv1, "kinds")
        addresses = [guest.wait_address(mac) for mac in MACS[:4]]
        leases = world.leases("kinds")
        assert leases == dict(zip(MACS[:4], addresses, strict=True))
        assert addresses[0].startswith("10.10.0.")
        assert addresses[1].startswith("10.10.0.")  # no subnet is called net1: the default one
        assert 100 <= int(addresses[2].removeprefix("10.20.0.")) <= 199  # the portgroup's, from its range
        assert addresses[3] == "10.20.0.7"
        ports = {row["external_ids"]["ovnhook:mac"]: row for row in world.ports("kinds")}
        taps = world.taps(world.hv1)
        assert ports.keys() == set(MACS[:4])
        for mac, address in zip(MACS[:4], addresses, strict=True):
            port = ports[mac]
            assert port["addresses"] == port["port_security"] == f"{mac} {address}"
            assert dict(port["options"][1])["requested-chassis"] == "hv1"
            assert port["external_ids"]["ovnhook:host"] == "hv1"
            assert taps[mac]["iface-id"] == port["name"]
        assert f"interfaceid='{ports[MACS[0]]['name']}'" in world.hv1.run(["virsh", "dumpxml", "kinds"]).stdout
        shown = world.control.run(["ovn-nbctl", "show"]).stdout
        assert all(f"{mac} {address}" in shown for mac, address in zip(MACS[:4], addresses, strict=True))
        assert MACS[4] not in shown
        world.destroy(world.hv1, "kinds")
        assert world.ports() == []
        assert world.taps(world.hv1) == {}
    finally:
        world.hv1.run(["ip", "link", "delete", "br-foreign"], check=False)


def test_guests_on_two_hosts_reach_each_other(world: World) -> None:
    """Over Geneve; and a guest that takes an address that isn't its own reaches nobody."""
    one = world.boot(world.hv1, "one", BRIDGE)
    two = world.boot(world.hv2, "two", BRIDGE)
    address = two.wait_address()
    one.wait_address()
    one.reach(address)
    one.reach(address, size=1414)  # 1442 bytes in all: the MTU that DHCP gave
    assert "mtu 1442" in one.console("ip link show eth0")
    one.console("ip addr flush dev eth0; ip addr add 10.10.0.250/24 dev eth0")
    assert not one.ping(address)


@pytest.mark.parametrize("how", ["destroy", "shutdown", "kill", "managedsave", "reboot"])
def test_the_address_stays(world: World, how: str) -> None:
    """However a domain ends and comes back: no port and no tap in between, the lease there, the same address after."""
    guest = world.boot(world.hv1, "stays", BRIDGE)
    address = guest.wait_address()
    leases = world.leases()
    match how:
        case "destroy":
            world.destroy(world.hv1, "stays")
        case "shutdown":
            guest.execute("poweroff &")
        case "kill":
            pid = world.hv1.read("/run/libvirt/qemu/stays.pid").strip()
            world.hv1.run(["kill", "-9", pid])
        case "managedsave":
            world.hv1.run(["virsh", "managedsave", "stays"])
        case "reboot":
            guest.execute("reboot &")
            world.wait_for(lambda: len(guest.addresses().get(world.mac(world.hv1, "stays"), [])) > 1, "a second DHCP")
            assert guest.wait_address() == address
            assert world.leases() == leases
            return
    world.wait_for(lambda: world.domain_state(world.hv1, "stays") == "shut off", "the domain to be off")
    world.wait_for(lambda: not world.ports(), "the port to be gone", world.ports)
    assert world.taps(world.hv1) == {}
    assert world.leases() == leases
    guest = world.start(world.hv1, "stays")
    if how == "managedsave":
        assert address in guest.console("ip -4 addr show eth0")
    else:
        assert guest.wait_address() == address
    assert world.leases() == leases


def test_undefine_gives_the_lease_back(world: World) -> None:
    """The end of a domain is the end of its lease; a transient domain ends when it stops."""
    world.boot(world.hv1, "defined", BRIDGE).wait_address()
    world.destroy(world.hv1, "defined")
    assert len(world.leases("defined")) == 1
    world.hv1.run(["virsh", "undefine", "defined"])
    world.wait_for(lambda: not world.leases(), "the lease to be gone", world.leases)
    world.define(world.hv2, "transient", BRIDGE)
    xml = world.hv2.run(["virsh", "dumpxml", "transient"]).stdout
    world.hv2.run(["virsh", "undefine", "transient"])
    world.hv2.run(["virsh", "create", "/dev/stdin"], input=xml)
    assert len(world.leases("transient")) == 1
    world.hv2.run(["virsh", "destroy", "transient"])
    world.wait_for(lambda: not world.leases(), "the lease to be gone", world.leases)


def test_another_hook_beside_ours(world: World) -> None:
    """libvirt runs all hooks of the folder; one of somebody else's does not disturb ours."""
    world.hv1.write(
        "/etc/libvirt/hooks/qemu.d/00-other", "#!/bin/sh\ncat >/dev/null\necho $2 >>/run/other-hook\n", 0o755
    )
    try:
        world.boot(world.hv1, "beside", BRIDGE).wait_address()
        assert world.hv1.read("/run/other-hook").split() == ["prepare", "start", "started"]
    finally:
        world.hv1.run(["rm", "-f", "/etc/libvirt/hooks/qemu.d/00-other"])


def test_a_subnets_settings_reach_a_running_guest(world: World) -> None:
    """`subnet set` is seen at the guest's next renewal."""
    world.ovnhook("subnet", "create", "renewing", "10.30.0.0/24")
    guest = world.boot(world.hv1, "renews", BRIDGE, metadata="<ovn:interface subnet='renewing'/>")
    guest.wait_address()
    world.ovnhook("subnet", "set", "renewing", "--dns", "10.30.0.53", "--mtu", "1400")
    renew = "killall -USR1 udhcpc; sleep 0.5; cat /etc/resolv.conf; ip link show eth0"
    world.wait_for(lambda: "10.30.0.53" in guest.console(renew), "the new DNS server")
    assert "mtu 1400" in guest.console("ip link show eth0")
    world.remove_domains()
    world.wait_for(lambda: not world.leases(), "the lease to be gone", world.leases)
    world.ovnhook("subnet", "delete", "renewing")
