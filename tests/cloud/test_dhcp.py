"""DHCP settings as guests get them, and a guest that boots over the network from another guest."""

from __future__ import annotations

import base64
import gzip
import re
import subprocess
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest

from lab import Guest
from lab.domain import domain_xml, interface_xml
from lab.waiting import HANG
from tests.cloud.external import OUTSIDE, set_external_gateway
from tests.cloud.world import World
from tests.dhcpvalues import ARGUMENTS, VALUES

SUBNET = "dhcp"
SERVER = "10.81.0.5"
ASK = "udhcpc -i eth0 -t 90 -T 3 -n -q -s /run/show -O wpad -O search -O staticroutes -O ntpsrv -O tftp"
BOOTED = "lab: booted from the network"
PROGRAM = bytes.fromhex("fce800005e83c613baf8032eac84c07403eeebf7f4ebfd") + f"{BOOTED}\r\n\0".encode()
"""A boot program (PXE specification, 2.4.1) that writes a line to the first serial port: a loop of lodsb and out."""

CHUNK = 512  # bytes of a file in one command: the guest waits a second for a line


@pytest.fixture(scope="module")
def server(session_world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    """A guest that renews its lease when it is told to, on a subnet of its own, and serves TFTP."""
    program = tmp_path_factory.mktemp("tftp") / "tftp"
    command = ["musl-gcc", "-static", "-Os", "-s", "-o", str(program), str(Path(__file__).with_name("tftp.c"))]
    subprocess.run(command, check=True, timeout=HANG)
    world = session_world
    world.ovnhook("subnet", "create", SUBNET, "10.81.0.0/24", "--domain", "lab.example")
    try:
        guest = world.boot(world.hv1, "server", interface_xml(), metadata=port(SERVER))
        assert guest.wait_address() == SERVER
        put(guest, "/run/tftpd", program.read_bytes())
        guest.console("mkdir /run/tftp; chmod +x /run/tftpd; /run/tftpd /run/tftp >/run/tftp.log 2>&1 &")
        yield guest
    finally:
        world.make_whole()
        world.remove_domains()
        world.wait_for(lambda: not world.leases(), "the leases to be gone", world.leases)
        world.ovnhook("subnet", "delete", SUBNET)


@pytest.fixture(scope="module")
def asks(session_world: World, server: Guest) -> Guest:
    """A guest on the other host that asks for a lease when it is told to."""
    guest = session_world.boot(session_world.hv2, "asks", interface_xml(), metadata=port(), dhcp="none")
    put(guest, "/run/show", b"#!/bin/sh\n[ $1 = bound ] && env\n")
    guest.console("chmod +x /run/show; until ip link set eth0 up; do sleep 1; done")
    return guest


def port(address: str = "") -> str:
    """What stands in a domain's metadata."""
    asked = f"address='{address}'" if address else ""
    return f"<ovn:domain xmlns:ovn='urn:ovnhook:domain:1'><ovn:interface subnet='{SUBNET}' {asked}/></ovn:domain>"


def change(world: World, *settings: str) -> None:
    """Change settings of the subnet, and wait until all hosts answer with them."""
    world.ovnhook("subnet", "set", SUBNET, *settings)
    world.control.run(["ovn-nbctl", "--wait=hv", "sync"])


def put(guest: Guest, path: str, content: bytes) -> None:
    """Write a file in a guest."""
    packed = gzip.compress(content)
    guest.console(f": >{path}.gz")
    for start in range(0, len(packed), CHUNK):
        encoded = base64.b64encode(packed[start : start + CHUNK]).decode()
        guest.console(f"echo {encoded} | base64 -d >>{path}.gz")
    guest.console(f"gunzip -f {path}.gz")


def told(guest: Guest) -> dict[str, str]:
    """What udhcpc gets from DHCP, by the names of its variables."""
    return dict(line.split("=", 1) for line in guest.console(ASK).splitlines() if "=" in line)


def test_every_option(session_world: World, asks: Guest) -> None:
    """All at once, with the characters that strings may have: OVN accepts them, and a guest gets them."""
    change(session_world, *ARGUMENTS)
    found = told(asks)
    assert found["ntpsrv"] == "192.0.2.7"
    assert found["wpad"] == VALUES["wpad"]
    assert found["tftp"] == "tftp.example"
    change(session_world, "--no-dhcp-option")


def test_settings(session_world: World, asks: Guest) -> None:
    """Routes with the default one, search domains, lease time."""
    change(
        session_world,
        *("--route", "10.9.0.0/24=10.81.0.9", "--route", "192.0.2.7/32=10.81.0.9"),
        *("--search", "lab.example", "--search", "example.org", "--search", "x.lab.example", "--lease-time", "30m"),
    )
    found = told(asks)
    assert found["lease"] == "1800"
    assert found["search"] == "lab.example example.org x.lab.example"
    routes = found["staticroutes"].split()
    assert dict(zip(routes[::2], routes[1::2], strict=True)).items() >= {
        ("10.9.0.0/24", "10.81.0.9"),
        ("192.0.2.7/32", "10.81.0.9"),
    }


def test_a_renewal(session_world: World, server: Guest) -> None:
    """A guest that runs has the new settings after it renewed its lease."""
    change(session_world, "--route", "10.99.0.0/24=10.81.0.9")
    server.console("killall -USR1 udhcpc")

    def routes() -> str:
        return server.console("ip route")

    session_world.wait_for(lambda: "10.99.0.0/24 via 10.81.0.9 " in routes(), "the route", routes)


def test_a_default_route(session_world: World, server: Guest, asks: Guest) -> None:
    """There is one while the router has an external gateway; else routes to the router's other subnets."""
    world, others = session_world, {"10.10.0.0/24", "10.20.0.0/24"}
    found = told(asks)
    assert "router" not in found
    assert {*found["staticroutes"].split()[::2]} >= others
    assert "default" not in server.console("ip route")
    set_external_gateway(world)
    world.control.run(["ovn-nbctl", "--wait=hv", "sync"])
    try:
        server.console("killall -USR1 udhcpc")
        world.wait_for(lambda: "default via 10.81.0.1 " in server.console("ip route"), "the default route")
        server.reach(OUTSIDE)
        found = told(asks)
        assert found["router"] == "10.81.0.1"
        assert not {*found.get("staticroutes", "").split()[::2]} & others
    finally:
        world.ovnhook("router", "set", "gateway", "--no-external", "--force")


def test_boot_over_the_network(session_world: World, server: Guest) -> None:
    """The ROM of QEMU's network card is iPXE: it boots the file that is for all, or the URL that is for iPXE."""
    world = session_world
    put(server, "/run/tftp/program", PROGRAM)
    put(server, "/run/tftp/boot.ipxe", f"#!ipxe\nchain tftp://{SERVER}/program\n".encode())
    nic = interface_xml().replace("<rom enabled='no'/>", "")
    xml = re.sub("<kernel>.*</cmdline>", "<boot dev='network'/>", domain_xml("pxe", [nic], metadata=port(), memory=128))
    served: list[str] = []
    for settings, fetched in (
        (("--boot-server", SERVER, "--boot-file", "program"), ["program"]),
        (("--boot-file", "absent", "--ipxe", f"tftp://{SERVER}/boot.ipxe"), ["boot.ipxe", "program"]),
    ):
        change(world, *settings)
        world.hv2.run(["virsh", "create", "/dev/stdin"], input=xml)
        guest = Guest(world.hv2, "pxe")
        world.wait_for(lambda: BOOTED in guest.tail(), "the boot program", guest.tail)  # noqa: B023
        served += fetched
        requests = server.console("cat /run/tftp.log").split()  # iPXE repeats some if the server is slow
        assert [name for name, _ in groupby(requests)] == served
        world.destroy(world.hv2, "pxe")
        guest.log.unlink()
