"""A host that takes part in OVN, as an immutable value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Node:
    """A host that takes part in OVN, as it says of itself: by its ovn-controller, and by its agent.

    Attributes:
        name: its chassis, the system-id.
        hostname: of the host.
        encapsulations: (``geneve``, address) of each end of its tunnels.
        is_gateway: whether it says that it can be a gateway: ``ovn-cms-options`` has ``enable-chassis-as-gw``.
        physical_networks: those that it has a bridge for: ``ovn-bridge-mappings``.
        uplinks_down: those of them whose bridge has no link outside now. Only an agent tells.
        nb_cfg: the last count of NB_Global.nb_cfg whose flows it has.
        nb_cfg_at: when that was, in seconds since 1970 by its clock, or 0.
        agent: the version of its agent, or "" where none has ever told.
        agent_seen: when the agent told last, in seconds since 1970 by its clock.
        ovs: the version of its Open vSwitch, or "".
        problems: what its agent can't repair there, a sentence each.
        mtu: bytes of a guest's IP packet that its tunnels carry, or 0 where its agent doesn't know.
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
    ovs: str = ""
    problems: tuple[str, ...] = ()
    mtu: int = 0
