"""Routers that reach the outside through their gateway hosts, which have one external address each, their own."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lab import Guest, LabCloud, LabHost, hostgateway
from lab.domain import interface_xml
from lab.waiting import HANG, until
from tests.cloud.external import OUTSIDE
from tests.cloud.world import World

OUTSIDE6 = "2001:db8::fe"
GATEWAYS = ("control", "hv2")
SERVE = """
import http.server, socket, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
        self.wfile.write(self.client_address[0].removeprefix("::ffff:").encode())
    def log_message(self, *_): pass
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
Server(("::", 8000), Answer).serve_forever()
"""
"""An HTTP server that answers with the address that it sees."""


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """A cloud with two such gateway hosts, and a guest on a host that is none."""
    with LabCloud(f"o{os.getpid()}", gateways=GATEWAYS) as cloud:
        world = World(cloud)
        world.set_long_deadline()
        cloud.outside.run(["ip", "address", "add", f"{OUTSIDE6}/64", "dev", "ext0", "nodad"])
        for name in GATEWAYS:
            host = cloud.host(name)
            hostgateway.connect(host, cloud.index(name), OUTSIDE)
            host.run(["ip", "address", "add", f"{own6(name)}/64", "dev", "br-ex", "nodad"])
            host.run(["ip", "route", "add", "default", "via", OUTSIDE6])
        world.ovnhook("router", "set", "gateway", "--physical-network", "host")
        world.ovnhook("subnet", "create", "blue", "10.10.0.0/24", "--default", "--cidr6", "fd00:10::/64")
        web = world.boot(world.hv1, "web", interface_xml())
        web.wait_address()
        web.wait_address(family=6)
        world.wait_for(lambda: active(world) in GATEWAYS, "a gateway")
        yield world
        print(cloud.logs())


def active(world: World) -> str:
    """The active gateway."""
    found = re.search(r"active gateway +([^,\s]+)", world.ovnhook("router", "show", "gateway"))
    return found[1] if found else ""


def own(world: World, name: str) -> str:
    """A gateway host's own address."""
    return hostgateway.own_address(world.cloud.index(name))


def own6(name: str) -> str:
    """A gateway host's own IPv6 address."""
    return f"2001:db8::{GATEWAYS.index(name) + 1}"


def problems(world: World) -> list[str]:
    """Problems of routers and gateway hosts."""
    lines = world.control.run(["ovnhook", "status"], check=False).stdout.splitlines()
    return [line for line in lines if line.startswith("problem: ") and ("router" in line or "host " in line)]


@contextmanager
def served(host: LabHost) -> Iterator[None]:
    """The host serves HTTP inside."""
    process = host.popen(["python3", "-c", SERVE])
    try:
        until(lambda: ":8000 " in host.run(["ss", "-tln"]).stdout, HANG, "the server")
        yield
    finally:
        process.kill()
        process.wait()


def seen_from(web: Guest, address: str) -> str:
    """The address that a server there sees of a guest."""
    return web.console(f"wget -q -O - http://{address}:8000/").strip()


def test_both_ways(world: World) -> None:
    """The outside sees the host's address; the host and the guest see each other's own; nobody else gets in."""
    web, gateway = world.cloud.guest("web"), world.cloud.host(active(world))
    four, six = web.wait_address(), web.wait_address(family=6)
    with served(world.cloud.outside), served(gateway):
        assert seen_from(web, OUTSIDE) == own(world, gateway.name)
        assert seen_from(web, f"[{OUTSIDE6}]") == own6(gateway.name)
        assert seen_from(web, own(world, gateway.name)) == four
        assert seen_from(web, f"[{own6(gateway.name)}]") == six
    for address in (four, six):
        assert gateway.run(["ping", "-c", "2", "-w", str(int(HANG)), address]).returncode == 0
    assert f"src {own(world, gateway.name)}" in gateway.run(["ip", "route", "get", four]).stdout
    world.cloud.outside.run(["ip", "route", "add", "10.10.0.0/24", "via", own(world, gateway.name)])
    assert world.cloud.outside.run(["ping", "-c", "2", "-w", "3", four], check=False).returncode != 0
    world.cloud.outside.run(["ip", "route", "del", "10.10.0.0/24"])
    world.wait_for(lambda: not problems(world), "all to be well", lambda: problems(world))


def test_failover(world: World) -> None:
    """Another host masquerades, with its own address; also if only the default route is gone."""
    web, first = world.cloud.guest("web"), active(world)
    (other,) = {*GATEWAYS} - {first}
    host = world.cloud.host(first)
    with served(world.cloud.outside):
        host.run(["ip", "route", "del", "default", "via", OUTSIDE])
        host.run(["ip", "route", "del", "default", "via", OUTSIDE6])
        world.wait_for(lambda: active(world) == other, "the other gateway")
        assert seen_from(web, OUTSIDE) == own(world, other)
        missing = "has no IPv4 default route"
        world.wait_for(lambda: any(missing in one for one in problems(world)), "the report", lambda: problems(world))
        assert (
            world.cloud.host(other).run(["ping", "-c", "2", "-w", str(int(HANG)), web.wait_address()]).returncode == 0
        )
        host.run(["ip", "route", "add", "default", "via", OUTSIDE])
        host.run(["ip", "route", "add", "default", "via", OUTSIDE6])
        world.wait_for(lambda: not problems(world), "all to be well", lambda: problems(world))
        vswitchd = world.cloud.host(other).daemon("ovs-vswitchd")
        vswitchd.kill()
        world.wait_for(lambda: active(world) == first, "the first gateway")
        assert seen_from(web, OUTSIDE) == own(world, first)
        vswitchd.start()


def test_a_subnet_that_is_the_hosts_network(world: World) -> None:
    """Refused, naming the host."""
    done = world.control.run(["ovnhook", "subnet", "create", "red", "203.0.113.128/25"], check=False)
    assert done.returncode == 5
    assert "overlaps with network 203.0.113.0/24 of host" in done.stderr


def test_another_physical_network(world: World) -> None:
    """A router gets an external network of its own, and its hosts back: traffic goes by the bridge of that network."""
    web = world.cloud.guest("web")
    external = ("--physical-network", "external", "--address", "203.0.113.10/24", "--next-hop", OUTSIDE)
    hosts = {own(world, name) for name in GATEWAYS}
    with served(world.cloud.outside):
        for settings, sources in ((external, {"203.0.113.10"}), (("--physical-network", "host"), hosts)):
            world.ovnhook("router", "set", "gateway", *settings, "--force")
            world.wait_for(lambda: web.ping(OUTSIDE).received, "an answer of the outside")
            assert seen_from(web, OUTSIDE) in sources
