"""All-in-one host: OVN central, control service, hypervisor and external gateway."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ovnhook.base.command import run
from ovnhook.base.config import Config
from ovnhook.setup import central, chassis, cloud, hostgateway, switch, underlay
from ovnhook.setup.services import enabled, restarted
from ovnhook.setup.step import Step


@dataclass(frozen=True)
class HostOptions:
    """Options of ``ovnhook node init --all-in-one``.

    Attributes:
        hostname: name of the host.
        name: name of the node, or "".
        address: tunnel endpoint IP, or "".
        subnet: CIDR of the default subnet.
        interface: interface for the external network, or "".
        external: external gateway of the router, or None.
    """

    hostname: str
    name: str
    address: str
    subnet: str
    interface: str
    external: cloud.ExternalGateway | None


def all_in_one(options: HostOptions, config: Config, api: cloud.Api) -> Iterator[Step]:
    """Steps, each to be carried out before the next one is requested.

    Raises:
        OvnhookError: the host belongs to another cloud, or something of it is in use.
    """
    central.check_own(config)
    yield enabled("openvswitch-switch", "openvswitch-switch")
    chassis.check(Config.southbound, options.interface)
    yield from central.steps()
    ids = switch.settings()
    name = switch.name_for(options.name, options.hostname, ids)
    address = underlay.parse(options.address) or ids.get("ovn-encap-ip") or underlay.address()
    is_gateway = bool(options.external and options.external.is_host and hostgateway.is_free(ids))
    yield from chassis.steps(
        name,
        config,
        Config.southbound,
        address,
        options.interface,
        gateway=bool(options.interface) or is_gateway,
        through_host=is_gateway,
    )
    yield Step(
        f"chassis {name} is registered in OVN",
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
        timeout=120,
        hint="see /var/log/ovn/ovn-controller.log",
    )
    yield enabled("ovnhook-agent", "ovnhook-hypervisor")
    yield restarted("ovnhook-agent", switch.SYSTEM_ID)  # it follows the chassis of the name that it started with
    yield enabled("ovnhook-control", "ovnhook-control")
    external = options.external if is_gateway or options.interface else None
    yield from cloud.steps(api, options.subnet, external, hostgateway.networks if is_gateway else None)
