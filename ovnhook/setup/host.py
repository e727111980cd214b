"""Everything on one host: OVN's central part, the control service, a hypervisor, and the way outside."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator
from dataclasses import dataclass

from ovnhook.config import Config
from ovnhook.errors import InUse, InvalidRequest
from ovnhook.setup import central, cloud, switch, uplink
from ovnhook.setup.command import holds, run
from ovnhook.setup.services import enabled, started
from ovnhook.setup.step import Step

_SOUTHBOUND = "unix:/run/ovn/ovnsb_db.sock"
_NORTHBOUND = "unix:/run/ovn/ovnnb_db.sock"
_ELSEWHERE = "192.0.2.1"  # no machine has it (RFC 5737): which address leads that way is told, and nothing sent
_ALONE = "127.0.0.1"


@dataclass(frozen=True)
class Wishes:
    """What an administrator asks for.

    Attributes:
        hostname: of the host.
        name: of the node, or "".
        address: where its tunnels are to end, or "".
        subnet: the addresses of the default subnet.
        interface: that leads outside, or "".
        leg: the router's place outside, or None.
    """

    hostname: str
    name: str
    address: str
    subnet: str
    interface: str
    leg: cloud.Outside | None


def all_in_one(wishes: Wishes, config: Config, api: cloud.Api) -> Iterator[Step]:
    """The steps, each to be carried out before the next one is asked for.

    Raises:
        OvnhookError: the host is part of another cloud, or something of it is needed elsewhere.
    """
    check_own(config)
    yield enabled("openvswitch-switch", "openvswitch-switch")
    ids = switch.settings()
    if ids.get("ovn-remote", _SOUTHBOUND) != _SOUTHBOUND:
        raise InUse(
            f"this host is part of the cloud whose southbound database is at {ids['ovn-remote']}",
            "to take it out of that: ovs-vsctl remove open . external_ids ovn-remote",
        )
    if wishes.interface:
        uplink.check_free(wishes.interface)  # before anything is changed
    yield from central.steps()
    node = switch.name_for(wishes.name, wishes.hostname, ids)
    yield switch.named(node)
    yield switch.knows("ovn-bridge", config.integration_bridge)
    yield switch.knows("ovn-encap-type", ids.get("ovn-encap-type", "geneve"))
    yield switch.knows("ovn-encap-ip", _checked(wishes.address) or ids.get("ovn-encap-ip") or _address())
    yield switch.knows("ovn-remote", _SOUTHBOUND)
    yield enabled("ovn-host", "ovn-host")
    yield started("ovn-controller")
    if wishes.interface:
        yield from uplink.steps(wishes.interface)
    yield switch.integrated(config.integration_bridge)
    yield Step(
        f"OVN knows this host as {node}",
        lambda: bool(run("ovn-sbctl", "--timeout=3", "--bare", "--columns=name", "find", "Chassis", f"name={node}")),
        within=30,
        hint="its log is /var/log/ovn/ovn-controller.log",
    )
    yield enabled("ovnhook-agent", "ovnhook-hypervisor")
    yield enabled("ovnhook-control", "ovnhook-control")
    yield from cloud.steps(api, wishes.subnet, wishes.leg)


def check_own(config: Config) -> None:
    """Refuse a host whose configuration leads to another one's databases.

    Raises:
        InUse: it does.
    """
    for key, here in (("northbound", _NORTHBOUND), ("southbound", _SOUTHBOUND)):
        there = getattr(config, key)
        if there != here:
            raise InUse(
                f"ovnhook.toml says that the {key} database is at {there}, and not on this host",
                f"to have all on this host, take '{key}' out of /etc/ovnhook/ovnhook.toml",
            )


def _checked(address: str) -> str:
    try:
        return str(ipaddress.ip_address(address)) if address else ""
    except ValueError as error:
        raise InvalidRequest(f"--address {address}: {error}") from error


def _address() -> str:
    """The address that others reach this host by, or one of its own where it is alone."""
    if not holds("ip", "route", "get", _ELSEWHERE):
        return _ALONE
    return str(json.loads(run("ip", "-json", "route", "get", _ELSEWHERE))[0].get("prefsrc", _ALONE))
