"""The OVN southbound database (ovn-sb(5)), of which only what hosts say of themselves is read."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from ovnhook.deadline import Deadline
from ovnhook.ovsdb.connection import Database
from ovnhook.ovsdb.operation import includes, map_of, select, set_of

_LEG = "cr-external:"
"""What northd calls the router port of a leg (ovsdb/topology.py) where it says which host has it."""


@dataclass(frozen=True)
class Chassis:
    """A host that takes part in OVN.

    Attributes:
        name: its system-id.
        is_gateway: whether it says that it can be a gateway: ``ovn-cms-options`` has ``enable-chassis-as-gw``.
        physical_networks: those that it has a bridge for.
    """

    name: str
    is_gateway: bool
    physical_networks: frozenset[str]


class Southbound:
    """Reads the southbound database. Safe to share between threads.

    Every method raises Unavailable when no server answers before the deadline.
    """

    def __init__(self, remotes: str) -> None:
        self.database = Database(remotes, "OVN_Southbound")

    def chassis(self, deadline: Deadline) -> list[Chassis]:
        """Every host, by name."""
        (found,) = self.database.transact([select("Chassis", columns=["name", "other_config"])], deadline)
        hosts = []
        for row in found:
            config = map_of(row["other_config"])
            mappings = config.get("ovn-bridge-mappings", "").split(",")
            hosts.append(
                Chassis(
                    name=row["name"],
                    is_gateway="enable-chassis-as-gw" in config.get("ovn-cms-options", "").split(","),
                    physical_networks=frozenset(pair.partition(":")[0] for pair in mappings if pair),
                )
            )
        return sorted(hosts, key=lambda host: host.name)

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
