"""Allowed addresses and port security, by packets: what a guest may send, what reaches it, and what others may not."""

from __future__ import annotations

from lab.domain import interface_xml
from tests.cloud.boxes import box
from tests.cloud.interfaces import MACS
from tests.cloud.migration import migrate, settled
from tests.cloud.world import World

NESTED = "52:54:00:aa:bb:09"


def test_allowed_addresses(world: World) -> None:
    """They pass on both hosts; all others are dropped."""
    allowed = ("--allowed-address", "10.9.0.0/24", "--allowed-address", NESTED)
    with box(world, world.hv1, "boxa", *allowed) as may, box(world, world.hv2, "boxb") as other:
        for one in (may, other):
            one.ip("route", "add", "10.9.0.0/16", "dev", one.name)
        for address in ("10.9.0.5", "10.9.1.5"):
            may.ip("address", "add", f"{address}/32", "dev", may.name)
        other.ip("address", "add", "10.9.0.6/32", "dev", other.name)
        other.reach(may.address)
        other.reach("10.9.0.5")
        may.reach(other.address, source="10.9.0.5")
        assert not other.answers("10.9.1.5", count=2)
        assert not may.answers("10.9.0.6", count=2)


def test_a_router_in_a_guest(world: World) -> None:
    """It answers for networks behind it, also after a migration; metadata that changes takes effect at once."""
    off = f"<ovn:interface mac='{MACS[0]}' port-security='off'/>"
    guest = world.boot(world.hv1, "router", interface_xml(MACS[0]), metadata=off)
    address = guest.wait_address()
    guest.console("ip address add 10.9.2.1/32 dev lo")
    with box(world, world.hv2, "boxb") as other:
        other.ip("route", "add", "10.9.2.0/24", "via", address)
        other.reach("10.9.2.1")
        migrate(world, "router", world.hv1, world.hv2)
        settled(world, "router", world.hv2)
        other.reach("10.9.2.1")
        assert world.hv2.run(["ovnhook", "check"]).stdout == "nothing differs\n"
        (port,) = world.ports("router")
        assert port["port_security"] == ["set", []]
        for metadata, passes in (
            ("<domain><interface/></domain>", False),
            ("<domain><interface allowed-addresses='10.9.2.0/24'/></domain>", True),
        ):
            command = ["virsh", "metadata", "router", "urn:ovnhook:domain:1", "--live", "--key", "ovn"]
            world.hv2.run([*command, "--set", metadata])
            world.wait_for(lambda: other.answers("10.9.2.1") is passes, f"the address to answer: {passes}")  # noqa: B023
            other.reach(address)
