"""Rows of security groups (ovn-nb(5)): writers and readers. Pure."""

from __future__ import annotations

from uuid import UUID

from ovnhook.base import uuids
from ovnhook.base.labels import GROUP_NAME
from ovnhook.ovsdb.operation import Row, as_map, as_set, ref, set_of
from ovnhook.ovsdb.owned import kind, own
from ovnhook.resources.operations import OwnedRow
from ovnhook.resources.reading import number_of, reader
from ovnhook.resources.security_group import syntax
from ovnhook.resources.security_group.acls import ARRIVALS, RESOLVERS, Acl, acls, arrivals_acls, port_group_name
from ovnhook.resources.security_group.values import Arrivals, GroupMembers, ResolverPorts, SecurityGroup
from ovnhook.resources.tables import ACL, PORT_GROUP

RESOLVERS_UUID = uuids.part("security-resolvers")
"""Port_Group row of the resolvers."""

ARRIVALS_UUID = uuids.part("security-arrivals")
"""Port_Group row of the ports that have arrived by a migration."""

_RULE = "rule-"  # begin of a key of external_ids: a rule by its number
_LARGEST = 1_000_000  # number of a rule


def group_ids(group: SecurityGroup) -> dict[str, str]:
    """External_ids of a Port_Group: all settings of a group."""
    ids = kind(
        "security-group",
        security_group=group.name,
        outbound="deny" if group.denies_outbound else "allow",
        last_rule=str(group.last_rule),
    )
    return ids | kind("security-group", **{f"{_RULE}{rule.number}": str(rule) for rule in group.rules})


def security_group_rows(group: SecurityGroup) -> dict[UUID, OwnedRow]:
    """All rows of a group, by UUID."""
    found = {
        group.uuid: OwnedRow(
            PORT_GROUP, {"name": port_group_name(group.name), "external_ids": as_map(group_ids(group))}
        )
    }
    for acl in acls(group):
        ids = kind("security-rule", security_group=group.name, rule=acl.key)
        found[uuids.part("security-rule", group.name, acl.key)] = _acl_row(acl, group.name, ids, group.uuid)
    return found


def _acl_row(acl: Acl, group: str, ids: dict[str, str], parent: UUID) -> OwnedRow:
    row = {
        "name": f"{group}:{acl.name}" if group else acl.name,
        "direction": acl.direction,
        "priority": acl.priority,
        "match": acl.match,
        "action": acl.action,
        "label": acl.label,
        "external_ids": as_map(ids),
    }
    return OwnedRow(ACL, row, (PORT_GROUP, parent, "acls"))


@reader(PORT_GROUP)
def read_security_group(row: Row) -> SecurityGroup:
    """Parse the Port_Group of a group."""
    ids = own(row)
    if not GROUP_NAME.fullmatch(ids["security-group"]):
        raise ValueError(f"'{ids['security-group'][:80]}' is not a valid name")
    numbers = {number_of(key.removeprefix(_RULE), _LARGEST): key for key in ids if key.startswith(_RULE)}
    rules = tuple(syntax.rule(number, ids[numbers[number]]) for number in sorted(numbers))
    last = number_of(ids.get("last-rule", "0"), _LARGEST)
    return SecurityGroup(
        name=ids["security-group"],
        rules=rules,
        denies_outbound=ids.get("outbound") == "deny",
        last_rule=max(last, *numbers, 0),
    )


@reader(PORT_GROUP)
def read_members(row: Row) -> GroupMembers:
    """Parse the members of a group."""
    return GroupMembers(own(row)["security-group"], frozenset(UUID(one[1]) for one in set_of(row["ports"])))


def resolver_ports_rows(ports: ResolverPorts) -> dict[UUID, OwnedRow]:
    """The Port_Group of the resolvers."""
    row = {
        "name": RESOLVERS,
        "ports": as_set(ref(uuids.part("resolver", subnet)) for subnet in sorted(ports.subnets)),
        "external_ids": as_map(kind("security-resolvers")),
    }
    return {RESOLVERS_UUID: OwnedRow(PORT_GROUP, row)}


def arrivals_rows(_: Arrivals) -> dict[UUID, OwnedRow]:
    """The Port_Group of the ports that have arrived by a migration, without its ports, and its ACLs."""
    row = {"name": ARRIVALS, "external_ids": as_map(kind("security-arrivals"))}
    found = {ARRIVALS_UUID: OwnedRow(PORT_GROUP, row)}
    for acl in arrivals_acls():
        ids = kind("security-rule", rule=acl.key)
        found[uuids.part("security-rule", "", acl.key)] = _acl_row(acl, "", ids, ARRIVALS_UUID)
    return found
