"""The resource kinds of security groups and of the resolvers that their interfaces reach. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ovnhook.base.errors import NotFound, OvnhookError
from ovnhook.ovsdb.operation import Operation, includes, key, require
from ovnhook.resources.kind import Kind
from ovnhook.resources.operations import difference, exists
from ovnhook.resources.security_group.cascade import cascade, membership
from ovnhook.resources.security_group.rows import (
    arrivals_rows,
    group_ids,
    read_members,
    read_security_group,
    resolver_ports_rows,
    security_group_rows,
)
from ovnhook.resources.security_group.values import Arrivals, GroupMembers, ResolverPorts, SecurityGroup
from ovnhook.resources.state import Cloud
from ovnhook.resources.subnet.values import Subnet
from ovnhook.resources.tables import PORT_GROUP


def _operations(old: SecurityGroup | None, new: SecurityGroup | None) -> list[Operation]:
    guards = _unchanged(old) if old else []
    if old and new is None:
        guards.append(require(PORT_GROUP, [key(old.uuid)], [{"ports": ["set", []]}], ["ports"]))
    before, after = (security_group_rows(one) if one else {} for one in (old, new))
    return [*guards, *difference(before, after)]


def _unchanged(group: SecurityGroup) -> list[Operation]:
    return [exists(PORT_GROUP, group.uuid, includes("external_ids", group_ids(group)))]


def _needs(groups: Iterable[SecurityGroup], cloud: Cloud) -> Iterator[OvnhookError]:
    """Refusals if a group that is the source of a rule does not exist."""
    known = {one.name for one in cloud.of(SecurityGroup)}
    for group in groups:
        for rule in group.rules:
            if rule.traffic.group and rule.traffic.group not in known:
                yield NotFound(
                    f"there is no security group '{rule.traffic.group}', the source of a rule of {group.name}",
                    f"ovnhook security-group create {rule.traffic.group}",
                )


SECURITY_GROUP = Kind(
    name="security-group",
    type=SecurityGroup,
    operations=_operations,
    guard=_unchanged,
    table=PORT_GROUP,
    columns=("external_ids",),  # not ports, of which there can be ten thousand
    read=read_security_group,
    title="security group",
    field="security_group",
    shown_in=lambda group: [("security_group", group.name)],
    order=lambda group: group.name,
    rows=security_group_rows,
    needs=_needs,
    cascade=cascade,
    display_name=lambda group: f"security group {group.name}",
)
"""A security group with its rules."""


MEMBERS = Kind(
    name=SECURITY_GROUP.name,
    type=GroupMembers,
    operations=membership,
    table=PORT_GROUP,
    columns=("ports", "external_ids"),
    read=read_members,
)
"""The ports of a security group, as a replica has them. A change concerns only those that come or go."""


def _resolver_operations(old: ResolverPorts | None, new: ResolverPorts | None) -> list[Operation]:
    before, after = (resolver_ports_rows(one) if one else {} for one in (old, new))
    return difference(before, after)


RESOLVER_PORTS = Kind(
    name="security-resolvers",
    type=ResolverPorts,
    operations=_resolver_operations,
    rows=resolver_ports_rows,
)
"""The ports of resolvers, as a group: derived from subnets and security groups."""


def _arrivals_operations(old: Arrivals | None, new: Arrivals | None) -> list[Operation]:
    before, after = (arrivals_rows(one) if one else {} for one in (old, new))
    return difference(before, after)


ARRIVALS = Kind(
    name="security-arrivals",
    type=Arrivals,
    operations=_arrivals_operations,
    rows=arrivals_rows,
)
"""The ports that have arrived by a migration, as a group: derived from security groups and ports."""


def arrivals(cloud: Cloud) -> Arrivals | None:
    """The group of arrivals that a cloud has to have, or None without security groups."""
    return Arrivals() if cloud.of(SecurityGroup) else None


def resolver_ports(cloud: Cloud) -> ResolverPorts | None:
    """The group of resolvers that a cloud has to have, or None: no interface is denied outbound connections."""
    if not any(group.denies_outbound for group in cloud.of(SecurityGroup)):
        return None
    return ResolverPorts(frozenset(subnet.name for subnet in cloud.of(Subnet) if subnet.resolvers))
