"""Ports and the security groups that they have to be in. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from uuid import UUID

from ovnhook.resources.kind import Change, Need, Put
from ovnhook.resources.port.kind import PORT
from ovnhook.resources.port.values import Port
from ovnhook.resources.security_group.kind import MEMBERS
from ovnhook.resources.security_group.values import GroupMembers
from ovnhook.resources.subnet.values import Subnet


class Memberships:
    """Groups of all ports, updated incrementally. Foreign ports in a group are nobody's business."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._groups: defaultdict[UUID, set[str]] = defaultdict(set)

    def apply(self, old: GroupMembers | None, new: GroupMembers | None) -> frozenset[UUID]:
        """Replace the members of a group; return the ports that came or went."""
        before, after = (one.ports if one else frozenset[UUID]() for one in (old, new))
        if old:
            self._known.discard(old.group)
            for port in before - after:
                self._groups[port].discard(old.group)
                if not self._groups[port]:
                    del self._groups[port]
        if new:
            self._known.add(new.group)
            for port in after - before:
                self._groups[port].add(new.group)
        return before ^ after

    def check(self, port: Port, subnet: Subnet | None) -> str:
        """Describe what is wrong with the groups of a port, or return "".

        Args:
            port: the port.
            subnet: its subnet, if it is known.
        """
        wanted = _wanted(port, subnet)
        if unknown := sorted({*wanted} - self._known):
            return f"security group {unknown[0]} of its port is missing"
        if wanted != port.security_groups:
            groups = " ".join(wanted) or "none"
            return f"the security groups of its port are not those of subnet {port.subnet}: {groups}"
        present = self._groups.get(port.uuid, set())
        if missing := sorted({*wanted} - present):
            return f"its port is not in security group {missing[0]}"
        if more := sorted(present - {*wanted}):
            return f"its port is in security group {more[0]}, which is not one of its groups"
        return ""

    def repair(self, port: Port, subnet: Subnet | None) -> Iterator[Change]:
        """Changes that put a port into its groups, and out of others."""
        wanted = _wanted(port, subnet)
        new = replace(port, security_groups=wanted)
        yield Put(PORT, port, new) if new != port else Need(PORT, port)
        # The change of the port does the same where its row says so; another time has no effect.
        itself, nobody = frozenset({port.uuid}), frozenset[UUID]()
        present = self._groups.get(port.uuid, set())
        for group in sorted({*wanted} - present):
            yield Put(MEMBERS, GroupMembers(group, nobody), GroupMembers(group, itself))
        for group in sorted(present - {*wanted}):
            yield Put(MEMBERS, GroupMembers(group, itself), GroupMembers(group, nobody))


def _wanted(port: Port, subnet: Subnet | None) -> tuple[str, ...]:
    return port.security_groups if port.names_groups or subnet is None else subnet.security_groups
