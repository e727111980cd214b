"""An OVN chassis, and what its agent reports, as immutable values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Node:
    """An OVN chassis: the state that its ovn-controller and its agent report.

    Attributes:
        name: the system-id.
        hostname: of the host.
        encapsulations: type and address of each tunnel endpoint: (``geneve``, address).
        is_gateway: eligible as gateway: ``ovn-cms-options`` has ``enable-chassis-as-gw``.
        physical_networks: in its ``ovn-bridge-mappings``.
        uplinks_down: physical networks whose bridge has no uplink that is up, as the agent reports.
        nb_cfg: the last value of NB_Global.nb_cfg whose flows are installed.
        nb_cfg_at: time of that, in seconds since 1970 by its clock, or 0.
        agent: version of its agent, or "" without a heartbeat so far.
        agent_seen: time of the agent's last heartbeat, in seconds since 1970.
        uses_api: the control service has written the last heartbeat; agents of earlier versions write it themselves.
        ovs: version of its Open vSwitch, or "".
        problems: problems that its agent can't repair, a sentence each.
        mtu: size in bytes of the largest guest IP packet that fits its tunnels, or 0 if unknown.
        serves_dns: the resolvers of its guests' subnets run; None: its agent is of a version without resolvers.
        networks: networks that it reaches by itself, if it is the external gateway of routers.
        foreign_networks: libvirt networks that lead elsewhere than to the integration bridge.
    """

    name: str
    hostname: str = ""
    encapsulations: tuple[tuple[str, str], ...] = ()
    is_gateway: bool = False
    physical_networks: frozenset[str] = frozenset()
    uplinks_down: frozenset[str] = frozenset()
    nb_cfg: int = 0
    nb_cfg_at: float = 0.0
    agent: str = ""
    agent_seen: int = 0
    uses_api: bool = False
    ovs: str = ""
    problems: tuple[str, ...] = ()
    mtu: int = 0
    serves_dns: bool | None = None
    networks: tuple[str, ...] = ()
    foreign_networks: frozenset[str] = frozenset()


@dataclass(frozen=True)
class NextHop:
    """Next hop of a router's IPv4 default route.

    Attributes:
        router: name of the router.
        address: address of the next hop.
    """

    router: str
    address: str


@dataclass(frozen=True)
class Report:
    """Status of a host, as its agent reports it.

    Attributes:
        agent: version of the agent.
        ovs: version of Open vSwitch.
        uplinks_down: physical networks whose bridge has no uplink with carrier.
        problems: problems that the agent cannot repair, a sentence each; only the first ones are reported.
        mtu: MTU available to guests over the host's tunnels, or 0 if unknown.
        serves_dns: the resolvers of the guests' subnets run.
        networks: networks that the host reaches by itself, if it is the external gateway of routers; only the first
            ones are reported.
        foreign_networks: libvirt networks that lead elsewhere than to the integration bridge; only the first ones are
            reported.
    """

    agent: str
    ovs: str
    uplinks_down: tuple[str, ...]
    problems: tuple[str, ...] = ()
    mtu: int = 0
    serves_dns: bool | None = None
    networks: tuple[str, ...] = ()
    foreign_networks: tuple[str, ...] = ()
