"""Creation, update and deletion of security groups. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ovnhook.base.errors import AlreadyExists, Exhausted, FailedPrecondition, InvalidRequest, NotFound
from ovnhook.base.text import few, quoted
from ovnhook.resources.kind import Change, Put
from ovnhook.resources.port.values import Port
from ovnhook.resources.registry import increment_serial
from ovnhook.resources.security_group.kind import SECURITY_GROUP
from ovnhook.resources.security_group.values import (
    MAX_RULES,
    GroupRule,
    RuleTraffic,
    RuleVerdict,
    SecurityGroup,
    check_name,
)
from ovnhook.resources.state import Cloud
from ovnhook.resources.subnet.values import Subnet


def create(name: str, cloud: Cloud, *, name_is_foreign: bool = False) -> tuple[Change, ...]:
    """Create a group without rules; no changes if it exists.

    Args:
        name: unique name.
        cloud: current state.
        name_is_foreign: a port group with its name in OVN exists that is not ovnhook's.

    Raises:
        InvalidRequest: the name is not valid.
        AlreadyExists: it is in use.
    """
    check_name(name)
    for other in cloud.of(SecurityGroup):
        if other.name == name:
            return ()
    if name_is_foreign:
        raise AlreadyExists(f"a port group for '{name}' exists that is not ovnhook's", "choose another name")
    return (increment_serial(cloud), Put(SECURITY_GROUP, None, SecurityGroup(name)))


def add_rule(name: str, verdict: RuleVerdict, traffic: RuleTraffic, cloud: Cloud) -> tuple[Change, ...]:
    """Add a rule; no changes if the group has it.

    Raises:
        NotFound: there is no such group.
        Exhausted: it has the maximum number of rules.
    """
    group = find(name, cloud)
    if any((rule.verdict, rule.traffic) == (verdict, traffic) for rule in group.rules):
        return ()
    if len(group.rules) >= MAX_RULES:
        raise Exhausted(
            f"security group {name} has {MAX_RULES} rules, the maximum", "an interface can be in several groups"
        )
    rule = GroupRule(group.last_rule + 1, verdict, traffic)
    return _changed(group, replace(group, rules=(*group.rules, rule), last_rule=rule.number), cloud)


def remove_rule(name: str, text: str, cloud: Cloud) -> tuple[Change, ...]:
    """Remove a rule.

    Args:
        name: of the group.
        text: number of the rule, or the rule itself.
        cloud: current state.

    Raises:
        NotFound: there is no such group or rule.
    """
    group = find(name, cloud)
    left = tuple(rule for rule in group.rules if text not in (str(rule.number), str(rule)))
    if left == group.rules:
        raise NotFound(f"security group {name} has no rule '{text[:80]}'", f"ovnhook security-group show {name}")
    return _changed(group, replace(group, rules=left), cloud)


def set_outbound(name: str, outbound: str, cloud: Cloud) -> tuple[Change, ...]:
    """Allow or deny outbound connections; no changes if the group does.

    Raises:
        NotFound: there is no such group.
        InvalidRequest: the value is neither.
    """
    if outbound not in (RuleVerdict.ALLOW.value, RuleVerdict.DENY.value):
        raise InvalidRequest(f"outbound '{outbound[:80]}': expected allow or deny")
    group = find(name, cloud)
    return _changed(group, replace(group, denies_outbound=outbound == RuleVerdict.DENY.value), cloud)


def delete(name: str, cloud: Cloud, members: Iterable[Port], *, has_foreign: bool = False) -> tuple[Change, ...]:
    """Delete a group.

    Args:
        name: of the group.
        cloud: current state.
        members: its ports.
        has_foreign: it has ports that are not ovnhook's.

    Raises:
        NotFound: there is no such group.
        FailedPrecondition: a port, a subnet or a rule of another group uses it.
    """
    group = find(name, cloud)
    if domains := sorted({port.domain_name for port in members}):
        raise FailedPrecondition(
            f"security group {name} is in use by {few('domain', domains)}",
            f"ovnhook security-group show {name}; virsh edit {quoted(domains[0])}, or its subnet's groups",
        )
    if subnets := [subnet.name for subnet in cloud.of(Subnet) if name in subnet.security_groups]:
        raise FailedPrecondition(
            f"security group {name} is in use by {few('subnet', subnets)}",
            f"ovnhook subnet set {subnets[0]} --no-security-group",
        )
    for other, rule in allowed_by(name, cloud):
        if other.name != name:
            raise FailedPrecondition(
                f"security group {name} is the source of a rule of {other.name}: {rule}",
                f"ovnhook security-group remove {other.name} {rule.number}",
            )
    if has_foreign:
        raise FailedPrecondition(
            f"security group {name} has ports that are not ovnhook's", f"ovn-nbctl list Port_Group {group.uuid}"
        )
    return (increment_serial(cloud), Put(SECURITY_GROUP, group, None))


def find(name: str, cloud: Cloud) -> SecurityGroup:
    """Find a group.

    Raises:
        NotFound: it does not exist.
    """
    for one in cloud.of(SecurityGroup):
        if one.name == name:
            return one
    raise NotFound(f"there is no security group '{name[:80]}'", "ovnhook security-group list")


def allowed_by(name: str, cloud: Cloud) -> list[tuple[SecurityGroup, GroupRule]]:
    """Rules of any group whose source is a group, with the groups that have them."""
    return [(one, rule) for one in cloud.of(SecurityGroup) for rule in one.rules if rule.traffic.group == name]


def _changed(old: SecurityGroup, new: SecurityGroup, cloud: Cloud) -> tuple[Change, ...]:
    return (increment_serial(cloud), Put(SECURITY_GROUP, old, new)) if new != old else ()
