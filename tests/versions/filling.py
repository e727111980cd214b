"""A cloud that has some of everything, and its northbound database as a version's own services and hooks fill it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lab import LabCloud
from lab.domain import interface_xml
from lab.hypervisor import HOOK
from ovnhook.pki.keyfiles import AuthorityFiles
from ovnhook.setup import authority
from ovnhook.setup.step import apply_steps
from tests.cloud.world import CONFIG, World

Frozen = dict[str, dict[str, dict[str, Any]]]
"""Rows by table and UUID."""

SCHEMA = Path("/usr/share/ovn/ovn-nb.ovsschema")
_CA = "/etc/ovnhook/ca"
_LEFT_OUT = {"NB_Global", "Connection", "SSL"}  # about the servers
_OF_NORTHD = {"_version", "up", "status"}
_DEFAULTS: tuple[object, ...] = (["set", []], ["map", []], "", 0, False)

SUBNETS = (
    "everything 10.1.0.0/24 --default --cidr6 fd00:1::/64 --gateway 10.1.0.254 --range 10.1.0.10-10.1.0.99"
    " --range 10.1.0.150-10.1.0.199 --dns 192.0.2.53 --dns 2001:db8::53 --domain example.org --mtu 1400",
    "usual 10.2.0.0/24",
    "six fd00:3::/64",
    "lone 10.4.0.0/24 --isolated --cidr6 fd00:4::/64",
    "off 10.5.0.0/24 --no-router",
    "beside 10.6.0.0/24 --router second",
)
ROUTERS = (
    "gateway --physical-network external --address 203.0.113.10/24 --next-hop 203.0.113.254"
    " --address6 2001:db8:1::10/64 --next-hop6 2001:db8:1::1 --snat6",
    "second --physical-network external --address 198.51.100.10/24 --next-hop 198.51.100.1 --vlan 7 --no-snat",
)
DOMAINS = {
    "web": ("hv1", "<ovn:interface subnet='everything' address='10.1.0.20' hostname='www'/>"),
    "two": ("hv1", "<ovn:interface index='1' subnet='usual'/>"),
    "own": ("hv2", "<ovn:interface isolated='yes'/>"),
    "moves": ("hv1", "<ovn:interface subnet='usual' address='10.2.0.30'/>"),
    "off": ("hv2", "<ovn:interface subnet='six'/>"),
}
"""Host and metadata of each; `two` has two interfaces, `moves` is half-way to hv2, `off` is shut down."""


def identity(name: str) -> str:
    """The UUID of a domain."""
    return f"00000000-0000-4000-8000-00000000000{[*DOMAINS].index(name) + 1}"


def mac(name: str, index: int = 0) -> str:
    """The MAC address of a domain's interface."""
    return f"52:54:00:00:0{[*DOMAINS].index(name) + 1}:0{index}"


def interface_id(name: str, index: int = 0) -> str:
    """The interface ID that a domain's XML asks for."""
    return f"{identity(name)[:-2]}{index}{identity(name)[-1]}"


def filled(tree: Path, prefix: str) -> tuple[Frozen, dict[str, str]]:
    """The rows that a version writes, and the key and certificate of its cloud's authority.

    Args:
        tree: the version's code.
        prefix: of the lab.
    """
    with LabCloud(prefix, trees=dict.fromkeys(("control", "hv1", "hv2"), tree)) as cloud:
        world = World(cloud)
        world.set_long_deadline()
        files = AuthorityFiles(world.control.outside_path(_CA))
        _make_authority(world, files)
        for words in SUBNETS[:-1]:
            world.ovnhook("subnet", "create", *words.split())
        world.ovnhook("router", "create", "second")
        world.ovnhook("subnet", "create", *SUBNETS[-1].split())
        for words in ROUTERS:
            world.ovnhook("router", "set", *words.split())
            shown = ("router", "show", words.split()[0])
            world.wait_for(lambda: "active gateway    control" in world.ovnhook(*shown), "a gateway")  # noqa: B023
        _start(world)
        world.ovnhook("port", "create", "appliance", "--host", "hv2", "--subnet", "everything", "--hostname", "box")
        world.ovnhook("floating-ip", "create", "203.0.113.20", "web")
        for host in cloud.hypervisors:
            host.daemon("agent").stop()  # they would take back what nobody carries on with
        xml = world.hv1.run(["virsh", "dumpxml", "moves"]).stdout
        world.hv2.run([HOOK, "moves", "migrate", "begin", "-"], input=xml)
        world.control.daemon("control").stop()
        key, certificate = files.own.key.read_text(), files.own.certificate.read_text()
        return _rows(world), {"key": key, "certificate": certificate}


def _make_authority(world: World, files: AuthorityFiles) -> None:
    """Let the control service have an authority, an operator, an operator that was revoked, and a token."""
    address = world.cloud.management_address("control")
    apply_steps(authority.steps(files, "control", address), lambda _: None)
    api = AuthorityFiles(Path(_CA)).api
    settings = {
        "southbound": world.cloud.southbound,
        "authority": _CA,
        "enrolment": f"{address}:6640",
        "certificate": str(api.certificate),
        "private_key": str(api.key),
        "ca": str(api.ca),
    }
    world.control.write(CONFIG, "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items()))
    world.control.daemon("control").restart()
    for name in ("alice", "mallory"):
        script = 'cd "$(mktemp -d)" && ovnhook certificate create "$0" --role operator'
        world.control.run(["sh", "-ec", script, name])
    world.ovnhook("certificate", "revoke", "mallory", "--role", "operator")
    world.ovnhook("node", "token", "hv3")


def _start(world: World) -> None:
    hosts = {host.name: host for host in world.cloud.hypervisors}
    for name, (where, metadata) in DOMAINS.items():
        count = 2 if name == "two" else 1
        interfaces = [interface_xml(mac(name, one), interface_id=interface_id(name, one)) for one in range(count)]
        world.define(hosts[where], name, *interfaces, metadata=metadata, identity=identity(name))
        hosts[where].run(["virsh", "start", "--paused", name])
    hosts["hv2"].run(["virsh", "destroy", "off"])
    world.wait_for(lambda: not world.ports("off"), "the port to be gone")


def _rows(world: World) -> Frozen:
    tables = sorted(json.loads(SCHEMA.read_text())["tables"].keys() - _LEFT_OUT)
    select = [{"op": "select", "table": table, "where": []} for table in tables]
    remote = "unix:/run/ovn/ovnnb_db.sock"
    done = world.control.run(["ovsdb-client", "transact", remote, json.dumps(["OVN_Northbound", *select])])
    found: Frozen = {}
    for table, result in zip(tables, json.loads(done.stdout), strict=True):
        rows = {
            row.pop("_uuid")[1]: {
                column: value for column, value in row.items() if column not in _OF_NORTHD and value not in _DEFAULTS
            }
            for row in result["rows"]
        }
        if rows:
            found[table] = rows
    return found
