"""OVN southbound database (ovn-sb(5)): hosts, their agents' reports, active gateways, progress of northd and hosts.

What an agent reports of its host is in external_ids of the host's Chassis_Private row, under keys with our prefix. The
control service writes it; agents of earlier versions do so themselves, which OVN's RBAC allows (ovn-architecture(7),
"Role-Based Access Controls for the Southbound DB").
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Self
from uuid import UUID

from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import Unavailable
from ovnhook.ovsdb.connection import Database
from ovnhook.ovsdb.operation import Row, as_set, delete, includes, map_of, mutate, select, set_keys, set_of
from ovnhook.resources import ip
from ovnhook.resources.chassis import NextHop, Node, Report

_EXTERNAL_PORT = "external:"
"""Prefix of an external gateway port (ovnhook.resources.router.topology)."""

_GATEWAY_PORT = f"cr-{_EXTERNAL_PORT}"
"""Prefix of its chassisredirect port."""

_PREFIX = "ovnhook:"
_AGENT, _SEEN, _OVS, _DOWN, _PROBLEMS, _MTU = "agent", "seen", "ovs", "uplinks-down", "problems", "mtu"
_DNS = "dns"
_NETWORKS = "networks"
_FOREIGN = "foreign-networks"
_API = "api"
"""Copy of the time in `_SEEN`. Agents of earlier versions write the row themselves, and leave this key as it is."""

_SERVES = {"": None, "no": False, "yes": True}
_MTUS = range(576, 65536)  # bytes: minimum of IPv4 (RFC 791), maximum of an IP packet
_MAX_PROBLEMS = 5
_MAX_LENGTH = 300  # characters
_MAX_ITEMS = 100  # physical networks or tunnel endpoints of a host
_MAX_DIGITS = 10  # of a time in seconds


@dataclass(frozen=True)
class ReportTime:
    """Time of a host's last report.

    Attributes:
        seen: in seconds since 1970.
        uses_api: it came through the control service; agents of earlier versions write it themselves.
    """

    seen: int
    uses_api: bool


@dataclass(frozen=True)
class ConfigProgress:
    """Progress of NB_Global.nb_cfg (ovn-nb(5)).

    Attributes:
        northd: sequence number that northd has processed.
        nodes: sequence number that each host's ovn-controller has processed.
    """

    northd: int
    nodes: dict[str, int]


class Southbound:
    """Thread-safe client of the southbound database.

    Every method raises Unavailable when no server answers before the deadline.
    """

    def __init__(self, remotes: str) -> None:
        self.database = Database(remotes, "OVN_Southbound")

    @classmethod
    def of_host(cls, remotes: str) -> Self:
        """Client for a host's external_ids:ovn-remote.

        Raises:
            Unavailable: it is not set.
        """
        if not remotes:
            raise Unavailable(
                "Open vSwitch has no external_ids:ovn-remote", "ovs-vsctl set open . external-ids:ovn-remote=…"
            )
        return cls(remotes)

    def nodes(self, deadline: Deadline) -> list[Node]:
        """Hosts of this cloud, sorted by name, without remote chassis of other zones (ovn-ic(8))."""
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

    def report_time(self, host: str, deadline: Deadline) -> ReportTime | None:
        """Time of a host's last report, or None without one."""
        (found,) = self.database.transact([_own(host)], deadline)
        for row in found:
            ids = _our_ids(row)
            if seen := _seen(ids):
                return ReportTime(seen, uses_api=ids.get(_API) == ids[_SEEN])
        return None

    def uplinks_down(self, deadline: Deadline) -> dict[str, str]:
        """Physical networks whose uplink is down, by host, as reported. Cheap enough for frequent polling."""
        # A map that lacks the key, or has another value for it, excludes the pair (RFC 7047, section 5.1).
        some = ["external_ids", "excludes", ["map", [[_PREFIX + _DOWN, ""]]]]
        (found,) = self.database.transact([select("Chassis_Private", some, columns=["name", "external_ids"])], deadline)
        reported = {row["name"]: _our_ids(row).get(_DOWN, "") for row in found}
        return {name: networks for name, networks in reported.items() if networks}

    def mtus(self, deadline: Deadline) -> dict[str, int]:
        """MTU available to guests over each host's tunnels, where reported."""
        (found,) = self.database.transact([select("Chassis_Private", columns=["name", "external_ids"])], deadline)
        reported = {row["name"]: _mtu(_our_ids(row)) for row in found}
        return {name: mtu for name, mtu in reported.items() if mtu}

    def tunnel_keys(self, deadline: Deadline, **ids: str) -> dict[UUID, int]:
        """Tunnel key (network ID) of each logical switch whose external_ids include `ids`."""
        match = [includes("external_ids", {key.replace("_", "-"): value for key, value in ids.items()})] if ids else []
        columns = ["tunnel_key", "external_ids"]
        (found,) = self.database.transact([select("Datapath_Binding", *match, columns=columns)], deadline)
        known = ((map_of(row["external_ids"]).get("logical-switch"), row["tunnel_key"]) for row in found)
        return {UUID(switch): number for switch, number in known if switch}

    def active_gateways(self, deadline: Deadline) -> dict[str, str]:
        """Active gateway host by router; routers without one are left out."""
        bindings, hosts = self.database.transact(
            [
                select("Port_Binding", ["type", "==", "chassisredirect"], columns=["logical_port", "chassis"]),
                select("Chassis", columns=["_uuid", "name"]),
            ],
            deadline,
        )
        names = {row["_uuid"][1]: row["name"] for row in hosts}
        return {
            row["logical_port"].removeprefix(_GATEWAY_PORT): names[chassis[1]]
            for row in bindings
            for chassis in set_of(row["chassis"])
            if row["logical_port"].startswith(_GATEWAY_PORT)
        }

    def silent_next_hops(self, host: str, hops: Collection[NextHop], deadline: Deadline) -> list[NextHop]:
        """Next hops of routers that OVN has no MAC address of, with their active gateway on a host."""
        bindings, hosts, *known = self.database.transact(
            [
                select("Port_Binding", ["type", "==", "chassisredirect"], columns=["logical_port", "chassis"]),
                select("Chassis", ["name", "==", host], columns=["_uuid"]),
                *(select("MAC_Binding", ["ip", "==", hop.address], columns=["logical_port"]) for hop in hops),
            ],
            deadline,
        )
        own = [row["_uuid"] for row in hosts]
        active = {row["logical_port"].removeprefix("cr-") for row in bindings if row["chassis"] in own}
        return [
            hop
            for hop, found in zip(hops, known, strict=True)
            if (port := f"{_EXTERNAL_PORT}{hop.router}") in active
            and not any(row["logical_port"] == port for row in found)
        ]

    def config_progress(self, deadline: Deadline) -> ConfigProgress:
        """Sequence numbers that northd and the hosts have processed."""
        northd, hosts = self.database.transact(
            [select("SB_Global", columns=["nb_cfg"]), select("Chassis_Private", columns=["name", "nb_cfg"])], deadline
        )
        done = max((row["nb_cfg"] for row in northd), default=0)
        return ConfigProgress(done, {row["name"]: row["nb_cfg"] for row in hosts})

    def publish(self, host: str, report: Report, now: float, deadline: Deadline) -> bool:
        """Write a report to a host's row; return False if ovn-controller has not created the row.

        Args:
            host: name of the chassis.
            report: report to write.
            now: seconds since 1970.
            deadline: deadline of the transaction.
        """
        seen = str(int(now))
        keys = {**_keys(report), _PREFIX + _SEEN: seen, _PREFIX + _API: seen}
        row = ["name", "==", host]
        solved = [["external_ids", "delete", as_set([_PREFIX + _PROBLEMS, _PREFIX + _FOREIGN])]]
        change = mutate("Chassis_Private", row, [*solved, *set_keys("external_ids", keys)])
        _, found = self.database.transact([change, _own(host)], deadline)
        return bool(found)

    def remove(self, host: str, deadline: Deadline) -> None:
        """Delete a host's rows, if any. A running ovn-controller recreates them."""
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
        _DNS: next(text for text, value in _SERVES.items() if value is report.serves_dns),
        _NETWORKS: " ".join(report.networks),
    }
    if report.foreign_networks:
        values[_FOREIGN] = " ".join(report.foreign_networks[:_MAX_ITEMS])
    if report.problems:
        some = [one[:_MAX_LENGTH] for one in report.problems[:_MAX_PROBLEMS]]
        more = len(report.problems) - len(some)
        values[_PROBLEMS] = json.dumps([*some, *([f"and {more} more"] if more else [])], ensure_ascii=False)
    return {_PREFIX + key: value for key, value in values.items()}


def _our_ids(row: Row) -> dict[str, str]:
    """Our external_ids of a row, without the prefix."""
    ids = map_of(row["external_ids"])
    return {key.removeprefix(_PREFIX): value for key, value in ids.items() if key.startswith(_PREFIX)}


def _seen(ids: dict[str, str]) -> int:
    """Time of a report, or 0 if missing or malformed."""
    text = ids.get(_SEEN, "")
    return int(text) if text.isdecimal() and len(text) <= _MAX_DIGITS else 0


def _mtu(ids: dict[str, str]) -> int:
    """Reported MTU, or 0 if missing or out of range."""
    text = ids.get(_MTU, "")
    mtu = int(text) if text.isdecimal() and len(text) < 6 else 0
    return mtu if mtu in _MTUS else 0


def _problems(text: str) -> tuple[str, ...]:
    """Reported problems. Malformed values are ignored: every host can write them."""
    try:
        found = json.loads(text or "[]")
    except (ValueError, RecursionError):
        return ()
    return tuple(one[:_MAX_LENGTH] for one in found if isinstance(one, str)) if isinstance(found, list) else ()


def _names(found: Iterable[str]) -> frozenset[str]:
    """The first ones of a host's names of networks."""
    return frozenset(one[:_MAX_LENGTH] for one in islice(filter(None, found), _MAX_ITEMS))


def _node(row: Row, tunnels: dict[str, tuple[str, str]], private: Row | None) -> Node:
    """Host of its rows. Each host can write its own: malformed values are ignored, long ones cut."""
    config = map_of(row["other_config"])
    mappings = config.get("ovn-bridge-mappings", "").split(",")
    ids = _our_ids(private) if private else {}
    seen = _seen(ids)
    return Node(
        name=row["name"],
        hostname=row["hostname"][:_MAX_LENGTH],
        encapsulations=tuple(
            sorted((kind, ip[:_MAX_LENGTH]) for kind, ip in (tunnels[end[1]] for end in set_of(row["encaps"])))
        )[:_MAX_ITEMS],
        is_gateway="enable-chassis-as-gw" in config.get("ovn-cms-options", "").split(","),
        physical_networks=_names(pair.partition(":")[0] for pair in mappings),
        uplinks_down=_names(ids.get(_DOWN, "").split()),
        nb_cfg=max(0, private["nb_cfg"]) if private else 0,
        nb_cfg_at=max(0, private["nb_cfg_timestamp"]) / 1000 if private else 0.0,
        agent=ids.get(_AGENT, "")[:_MAX_LENGTH],
        agent_seen=seen,
        uses_api=bool(seen) and ids.get(_API) == ids[_SEEN],
        ovs=ids.get(_OVS, "")[:_MAX_LENGTH],
        mtu=_mtu(ids),
        serves_dns=_SERVES.get(ids.get(_DNS, "")),
        networks=tuple(islice(filter(ip.is_network, ids.get(_NETWORKS, "").split()), _MAX_ITEMS)),
        foreign_networks=_names(ids.get(_FOREIGN, "").split()),
        problems=_problems(ids.get(_PROBLEMS, ""))[: _MAX_PROBLEMS + 1],
    )
