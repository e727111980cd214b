"""ACLs that an administrator adds to a subnet's switch: nothing that ovnhook has there lets packets pass them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cloud.boxes import Box, box
from tests.cloud.world import World

RECEIVE = """
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("", 9999))
print("serving", flush=True)
while True:
    print("from", server.recvfrom(64)[1][1], flush=True)
"""
SEND = """
import socket, sys
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.bind(("", int(sys.argv[2])))
client.sendto(b"x", (sys.argv[1], 9999))
"""


@pytest.fixture
def pair(world: World) -> Iterator[tuple[Box, Box]]:
    """Two ports on hv1."""
    with box(world, world.hv1, "boxa") as one, box(world, world.hv1, "boxb") as other:
        yield one, other


def test_packets_from_port_53(world: World, pair: tuple[Box, Box]) -> None:
    """They are dropped like others: OVN with DNS records on the switch would let them pass (CVE-2025-0650)."""
    port, address = pair[0].port["id"], pair[0].address
    acl = ["default", "to-lport", "1000", f'outport == "{port}" && udp']
    receiver = world.hv1.spawn("receiver", ["ip", "netns", "exec", "boxa", "python3", "-c", RECEIVE])

    def send(source: int) -> None:
        world.hv1.run(["ip", "netns", "exec", "boxb", "python3", "-c", SEND, address, str(source)])

    def arrived(source: int) -> bool:
        send(source)
        return f"from {source}" in receiver.log.read_text()

    try:
        world.wait_for(lambda: "serving" in receiver.log.read_text(), "the receiver")
        world.wait_for(lambda: arrived(1053), "a packet before there is an ACL")
        world.control.run(["ovn-nbctl", "--wait=hv", "acl-add", *acl, "drop"])
        for source in (53, 54):
            for _ in range(3):
                send(source)
        world.control.run(["ovn-nbctl", "--wait=hv", "acl-del", *acl])
        world.wait_for(lambda: arrived(1054), "a packet after the ACL")
        assert {*receiver.log.read_text().splitlines()} == {"serving", "from 1053", "from 1054"}
    finally:
        world.control.run(["ovn-nbctl", "acl-del", "default"])
        receiver.kill()
