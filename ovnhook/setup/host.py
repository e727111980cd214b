"""Everything on one host: OVN's central part, the control service, a hypervisor, and the way outside."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ovnhook.base.config import Config
from ovnhook.setup import central, chassis, cloud, switch, underlay
from ovnhook.setup.command import run
from ovnhook.setup.services import enabled
from ovnhook.setup.step import Step


@dataclass(frozen=True)
class HostOptions:
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
    leg: cloud.ExternalGateway | None


def all_in_one(wishes: HostOptions, config: Config, api: cloud.Api) -> Iterator[Step]:
    """The steps, each to be carried out before the next one is asked for.

    Raises:
        OvnhookError: the host is part of another cloud, or something of it is needed elsewhere.
    """
    central.check_own(config)
    yield enabled("openvswitch-switch", "openvswitch-switch")
    chassis.check(Config.southbound, wishes.interface)
    yield from central.steps()
    ids = switch.settings()
    name = switch.name_for(wishes.name, wishes.hostname, ids)
    address = underlay.checked(wishes.address) or ids.get("ovn-encap-ip") or underlay.address()
    yield from chassis.steps(name, config, Config.southbound, address, wishes.interface, gateway=bool(wishes.interface))
    yield Step(
        f"OVN knows this host as {name}",
        lambda: bool(
            run(
                "ovn-sbctl",
                "--timeout=3",
                "--no-leader-only",
                "--bare",
                "--columns=name",
                "find",
                "Chassis",
                f"name={name}",
            )
        ),
        within=120,
        hint="its log is /var/log/ovn/ovn-controller.log",
    )
    yield enabled("ovnhook-agent", "ovnhook-hypervisor")
    yield enabled("ovnhook-control", "ovnhook-control")
    yield from cloud.steps(api, wishes.subnet, wishes.leg)
