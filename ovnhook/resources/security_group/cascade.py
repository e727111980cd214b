"""Cascades from ports to the members of security groups, and to arrivals. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ovnhook.ovsdb.operation import Operation, as_set, key, mutate, ref
from ovnhook.resources.kind import Cascade, Put
from ovnhook.resources.operations import exists
from ovnhook.resources.port.values import Port
from ovnhook.resources.security_group.rows import ARRIVALS_UUID
from ovnhook.resources.security_group.values import GroupMembers
from ovnhook.resources.tables import PORT_GROUP


def membership(old: GroupMembers | None, new: GroupMembers | None) -> list[Operation]:
    """Operations that change the ports of a group, which has to exist if ports are added."""
    before, after = (one.ports if one else frozenset() for one in (old, new))
    one, gone, come = new or old, before - after, after - before
    if one is None or not (gone or come):
        return []
    mutations = [
        ["ports", how, as_set(map(ref, sorted(some)))] for how, some in (("delete", gone), ("insert", come)) if some
    ]
    return [*([exists(PORT_GROUP, one.uuid)] if come else []), mutate(PORT_GROUP, key(one.uuid), mutations)]


def arrival(port: Port, how: str) -> Operation:
    """Operation that makes a port one of those that have arrived by a migration, or no longer.

    Args:
        port: the port.
        how: ``insert`` or ``delete``; without effect if that is so, or if there is no group of them.
    """
    return mutate(PORT_GROUP, key(ARRIVALS_UUID), [["ports", how, as_set([ref(port.uuid)])]])


def cascade(put: Put[Any]) -> Iterator[Cascade]:
    """Change the groups that a port is in. A port that is deleted leaves its groups by itself."""
    port = put.new
    if not isinstance(port, Port):
        return
    if put.old and put.old.moving_to != port.moving_to and port.security_groups:
        arrived = not port.moving_to and port.host == put.old.moving_to
        yield Cascade((arrival(port, "insert" if arrived else "delete"),))
    before = put.old.security_groups if put.old else ()
    for group in sorted({*before} ^ {*port.security_groups}):
        members, nobody = GroupMembers(group, frozenset({port.uuid})), GroupMembers(group, frozenset())
        joins = group in port.security_groups
        yield Cascade(tuple(membership(*((nobody, members) if joins else (members, nobody)))))
