"""The OVN southbound database (ovn-sb(5)), of which only what hosts say of themselves is read."""

from __future__ import annotations

from dataclasses import dataclass

from ovnhook.deadline import Deadline
from ovnhook.ovsdb.connection import Database
from ovnhook.ovsdb.operation import map_of, select, set_of


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

    def active(self, router: str, deadline: Deadline) -> str:
        """The host that a router's leg to the outside is on now, or "" for none."""
        name = ["logical_port", "==", f"cr-external:{router}"]
        (found,) = self.database.transact([select("Port_Binding", name, columns=["chassis"])], deadline)
        references = [reference for row in found for reference in set_of(row["chassis"])]
        if not references:
            return ""
        uuid = references[0][1]
        (hosts,) = self.database.transact(
            [select("Chassis", ["_uuid", "==", ["uuid", uuid]], columns=["name"])], deadline
        )
        return hosts[0]["name"] if hosts else ""
