"""The OVN southbound database (ovn-sb(5)): what hosts say of themselves, and whether they and northd keep up.

A host's agent tells of itself in its own row of Chassis_Private, which belongs to its ovn-controller but for the keys
of its ``external_ids`` that are ours. OVN's access control lets every host write that column of its own row
(ovn-architecture(7), "Role-Based Access Controls for the Southbound DB").
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Self
from uuid import UUID

from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import Unavailable
from ovnhook.ovsdb.connection import Database
from ovnhook.ovsdb.operation import Row, as_set, delete, includes, map_of, mutate, select, set_keys, set_of
from ovnhook.resources.chassis import Node

_LEG = "cr-external:"
"""What northd calls the router port of a leg (ovnhook.resources.router.topology) where it says which host has it."""

_PREFIX = "ovnhook:"
_AGENT, _SEEN, _OVS, _DOWN, _PROBLEMS, _MTU = "agent", "seen", "ovs", "uplinks-down", "problems", "mtu"
_MTUS = range(576, 65536)  # bytes: what every host accepts (RFC 791), and the most that an IP packet can have
_MOST_PROBLEMS = 5
_LONGEST = 300  # characters


@dataclass(frozen=True)
class Report:
    """What an agent tells of its host.

    Attributes:
        agent: its version.
        ovs: the version of Open vSwitch.
        uplinks_down: the physical networks whose bridge has no link outside.
        problems: what the agent can't repair there, a sentence each: only the first ones are told.
        mtu: bytes of a guest's IP packet that the host's tunnels carry, or 0 where that is not known.
    """

    agent: str
    ovs: str
    uplinks_down: tuple[str, ...]
    problems: tuple[str, ...] = ()
    mtu: int = 0


@dataclass(frozen=True)
class Answers:
    """How far a count of NB_Global.nb_cfg has come (ovn-nb(5)).

    Attributes:
        northd: the last count that northd has carried out.
        nodes: the last one that each host has carried out.
    """

    northd: int
    nodes: dict[str, int]


class Southbound:
    """Reads the southbound database, and tells of this host there. Safe to share between threads.

    Every method raises Unavailable when no server answers before the deadline.
    """

    def __init__(self, remotes: str) -> None:
        self.database = Database(remotes, "OVN_Southbound")

    @classmethod
    def of_host(cls, remotes: str) -> Self:
        """The database that a host's Open vSwitch names, by its external_ids:ovn-remote.

        Raises:
            Unavailable: it names none.
        """
        if not remotes:
            raise Unavailable(
                "Open vSwitch has no external_ids:ovn-remote", "ovs-vsctl set open . external-ids:ovn-remote=…"
            )
        return cls(remotes)

    def nodes(self, deadline: Deadline) -> list[Node]:
        """Every host of this cloud, by name; not those of others that OVN is interconnected with (ovn-ic(8))."""
        hosts, ends, private = self.database.transact(
            [
                select("Chassis", columns=["name", "hostname", "encaps", "other_config"]),
                select("Encap", columns=["_uuid", "type", "ip"]),
                select("Chassis_Private", columns=["name", "nb_cfg", "nb_cfg_timestamp", "external_ids"]),
            ],
            deadline,
        )
        tunnels = {row["_uuid"][1]: (row["type"], row["ip"]) for row in ends}
        own = {row["name"]: row for row in private}
        ours = (row for row in hosts if map_of(row["other_config"]).get("is-remote") != "true")
        return sorted((_node(row, tunnels, own.get(row["name"])) for row in ours), key=lambda node: node.name)

    def uplinks_down(self, deadline: Deadline) -> dict[str, str]:
        """What the agents say of uplinks that are down, as they wrote it, by host: cheap enough to be asked often."""
        # A map that lacks the key, or has another value for it, excludes the pair (RFC 7047, section 5.1).
        some = ["external_ids", "excludes", ["map", [[_PREFIX + _DOWN, ""]]]]
        (found,) = self.database.transact([select("Chassis_Private", some, columns=["name", "external_ids"])], deadline)
        said = {row["name"]: _told(row).get(_DOWN, "") for row in found}
        return {name: networks for name, networks in said.items() if networks}

    def mtus(self, deadline: Deadline) -> dict[str, int]:
        """Bytes of a guest's IP packet that the tunnels of each host carry, of those whose agents know it."""
        (found,) = self.database.transact([select("Chassis_Private", columns=["name", "external_ids"])], deadline)
        said = {row["name"]: _mtu(_told(row)) for row in found}
        return {name: mtu for name, mtu in said.items() if mtu}

    def network_ids(self, deadline: Deadline, **ids: str) -> dict[UUID, int]:
        """What tunnels call each logical switch (its tunnel key), of those whose external_ids hold these."""
        match = [includes("external_ids", {key.replace("_", "-"): value for key, value in ids.items()})] if ids else []
        columns = ["tunnel_key", "external_ids"]
        (found,) = self.database.transact([select("Datapath_Binding", *match, columns=columns)], deadline)
        known = ((map_of(row["external_ids"]).get("logical-switch"), row["tunnel_key"]) for row in found)
        return {UUID(switch): number for switch, number in known if switch}

    def active(self, deadline: Deadline) -> dict[str, str]:
        """The host that has each router's leg to the outside now, by router; those that nobody has are not there."""
        bindings, hosts = self.database.transact(
            [
                select("Port_Binding", ["type", "==", "chassisredirect"], columns=["logical_port", "chassis"]),
                select("Chassis", columns=["_uuid", "name"]),
            ],
            deadline,
        )
        names = {row["_uuid"][1]: row["name"] for row in hosts}
        return {
            row["logical_port"].removeprefix(_LEG): names[chassis[1]]
            for row in bindings
            for chassis in set_of(row["chassis"])
            if row["logical_port"].startswith(_LEG)
        }

    def answers(self, deadline: Deadline) -> Answers:
        """How far northd and the hosts have come."""
        northd, hosts = self.database.transact(
            [select("SB_Global", columns=["nb_cfg"]), select("Chassis_Private", columns=["name", "nb_cfg"])], deadline
        )
        return Answers(max((row["nb_cfg"] for row in northd), default=0), {row["name"]: row["nb_cfg"] for row in hosts})

    def is_told(self, host: str, report: Report, deadline: Deadline) -> bool:
        """Whether a host's row says what its agent wants it to, whenever that was."""
        (found,) = self.database.transact([_own(host)], deadline)
        if not found:
            return False
        ids = map_of(found[0]["external_ids"])
        return _keys(report).items() <= ids.items() and (bool(report.problems) or _PREFIX + _PROBLEMS not in ids)

    def tell(self, host: str, report: Report, now: float, deadline: Deadline) -> bool:
        """Let a host's row say what its agent knows; whether there is such a row, which ovn-controller makes.

        Args:
            host: its chassis.
            report: what is told.
            now: seconds since 1970.
            deadline: when to give up.
        """
        keys = {**_keys(report), _PREFIX + _SEEN: str(int(now))}
        row = ["name", "==", host]
        solved = [["external_ids", "delete", as_set([_PREFIX + _PROBLEMS])]]
        change = mutate("Chassis_Private", row, [*solved, *set_keys("external_ids", keys)])
        _, found = self.database.transact([change, _own(host)], deadline)
        return bool(found)

    def remove(self, host: str, deadline: Deadline) -> None:
        """Forget a host, which there need not be; a live one makes its rows anew."""
        self.database.transact(
            [
                delete("Encap", ["chassis_name", "==", host]),
                delete("Chassis", ["name", "==", host]),
                delete("Chassis_Private", ["name", "==", host]),
            ],
            deadline,
        )


def _own(host: str) -> Row:
    return select("Chassis_Private", ["name", "==", host], columns=["external_ids"])


def _keys(report: Report) -> dict[str, str]:
    values = {
        _AGENT: report.agent,
        _OVS: report.ovs,
        _DOWN: " ".join(report.uplinks_down),
        _MTU: str(report.mtu or ""),
    }
    if report.problems:
        some = [one[:_LONGEST] for one in report.problems[:_MOST_PROBLEMS]]
        more = len(report.problems) - len(some)
        values[_PROBLEMS] = json.dumps([*some, *([f"and {more} more"] if more else [])], ensure_ascii=False)
    return {_PREFIX + key: value for key, value in values.items()}


def _told(row: Row) -> dict[str, str]:
    """The keys of a row that are ours."""
    ids = map_of(row["external_ids"])
    return {key.removeprefix(_PREFIX): value for key, value in ids.items() if key.startswith(_PREFIX)}


def _mtu(told: dict[str, str]) -> int:
    """What an agent says that tunnels carry, or 0; whatever no network can have is not believed."""
    said = told.get(_MTU, "")
    mtu = int(said) if said.isdecimal() and len(said) < 6 else 0
    return mtu if mtu in _MTUS else 0


def _sentences(said: str) -> tuple[str, ...]:
    """What an agent says of its host's problems; whatever else somebody has written there is none."""
    try:
        found = json.loads(said or "[]")
    except (ValueError, RecursionError):
        return ()
    return tuple(one[:_LONGEST] for one in found if isinstance(one, str)) if isinstance(found, list) else ()


def _node(row: Row, tunnels: dict[str, tuple[str, str]], private: Row | None) -> Node:
    config = map_of(row["other_config"])
    mappings = config.get("ovn-bridge-mappings", "").split(",")
    told = _told(private) if private else {}
    seen = told.get(_SEEN, "")
    return Node(
        name=row["name"],
        hostname=row["hostname"],
        encapsulations=tuple(sorted(tunnels[end[1]] for end in set_of(row["encaps"]))),
        is_gateway="enable-chassis-as-gw" in config.get("ovn-cms-options", "").split(","),
        physical_networks=frozenset(pair.partition(":")[0] for pair in mappings if pair),
        uplinks_down=frozenset(told.get(_DOWN, "").split()),
        nb_cfg=private["nb_cfg"] if private else 0,
        nb_cfg_at=private["nb_cfg_timestamp"] / 1000 if private else 0.0,
        agent=told.get(_AGENT, ""),
        agent_seen=int(seen) if seen.isdecimal() else 0,
        ovs=told.get(_OVS, ""),
        mtu=_mtu(told),
        problems=_sentences(told.get(_PROBLEMS, ""))[: _MOST_PROBLEMS + 1],
    )
