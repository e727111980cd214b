"""Hosts that are bound to a port in the southbound database without being asked to.

OVN's RBAC lets every host write where a port is bound. Hosts send packets for a port also to its additional chassis, of
which a migration has one (ovn-nb(5), "requested-chassis").
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from ovnhook.base.deadline import Deadline
from ovnhook.ovsdb.connection import Database
from ovnhook.ovsdb.operation import Row, as_set, includes, mutate, ref, select, set_of
from ovnhook.ovsdb.owned import kind, own

_INVITED = ("requested_chassis", "requested_additional_chassis")
_COLUMNS = ("logical_port", "external_ids", "additional_chassis", *_INVITED)


@dataclass(frozen=True)
class UninvitedBinding:
    """A chassis that a port has in addition, without a request.

    Attributes:
        port: name of the port.
        domain: name of its domain.
        chassis: the chassis' row.
        host: name of the chassis.
    """

    port: str
    domain: str
    chassis: UUID
    host: str


def read(database: Database, deadline: Deadline) -> frozenset[UninvitedBinding]:
    """Read the uninvited bindings of ovnhook's ports."""
    several = ["additional_chassis", "!=", as_set([])]
    ours = includes("external_ids", kind("port"))
    (rows,) = database.transact([select("Port_Binding", several, ours, columns=_COLUMNS)], deadline)
    found = [(row, uuid) for row in rows for uuid in _chassis(row, "additional_chassis") - _chassis(row, *_INVITED)]
    if not found:
        return frozenset()
    (hosts,) = database.transact([select("Chassis", columns=["_uuid", "name"])], deadline)
    names = {UUID(row["_uuid"][1]): row["name"] for row in hosts}
    return frozenset(
        UninvitedBinding(row["logical_port"], own(row).get("domain-name", ""), uuid, names[uuid])
        for row, uuid in found
        if uuid in names
    )


def remove(database: Database, found: Iterable[UninvitedBinding], deadline: Deadline) -> None:
    """Remove bindings."""
    database.transact(
        [
            mutate(
                "Port_Binding",
                ["logical_port", "==", one.port],
                [["additional_chassis", "delete", as_set([ref(one.chassis)])]],
            )
            for one in found
        ],
        deadline,
    )


def _chassis(row: Row, *columns: str) -> set[UUID]:
    return {UUID(uuid) for column in columns for _, uuid in set_of(row[column])}
