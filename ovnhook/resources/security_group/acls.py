"""ACLs of security groups (ovn-nb(5)): priorities and matches. Pure.

ARP, ND and router advertisements pass without a rule: northd lets them through, and the rules are about IP only. So do
replies, since the outbound rule makes northd track connections.

A match is a conjunction of one set for each field, and of one IP version where it names addresses: so ovn-controller
updates its flows incrementally when members come and go.

Connection tracking does not follow a migration: on the destination the first packet of a connection decides who has
opened it. If the peer of a guest's connection is first, its packets count as attempts to connect to the guest. So for a
while after an arrival TCP packets without SYN pass, and mark their connections by a label. Later packets of these pass
by the label.
"""

from __future__ import annotations

from dataclasses import dataclass

from ovnhook.resources.security_group.values import GroupRule, RuleTraffic, RuleVerdict, SecurityGroup

RESOLVERS = "ovnhook_resolvers"
"""Name of the Port_Group with the resolvers of all subnets."""

ARRIVALS = "ovnhook_arrivals"
"""Name of the Port_Group with the ports that have arrived by a migration."""

_DEFAULT = 1000  # priority of what applies without a rule
_NO_OUTBOUND = 1001  # above the default of the port's other groups: replies only, if one of them says so
_ARRIVED = 1500
_ALLOW = 2000
_DENY = 3000
_PASS, _DROP = "allow-related", "drop"
_TO_GUEST, _FROM_GUEST = "to-lport", "from-lport"
_DHCP = "udp.src == 68 && udp.dst == 67"
_DHCPV6 = "udp.src == 546 && udp.dst == 547"
_UNDER_WAY = "tcp && tcp.flags[1] == 0"  # without SYN, so that no connection can be opened
_LABEL = 0x6F766E01  # of connections that were there before an arrival; nobody else is likely to use it
_LABELLED = f"ct.est && ct_label[96..127] == {_LABEL} && {_UNDER_WAY}"


@dataclass(frozen=True)
class Acl:
    """An ACL.

    Attributes:
        key: unique in the group.
        name: in logs, unique in the group.
        direction: from the switch's point of view.
        priority: an ACL of a higher one decides.
        match: packets that it matches.
        action: what becomes of them.
        label: of their connections.
    """

    key: str
    name: str
    direction: str
    priority: int
    match: str
    action: str
    label: int = 0


def port_group_name(group: str) -> str:
    """Name of a group's Port_Group. OVN's matches accept no hyphen in it, and groups have no dot in theirs."""
    return f"ovnhook_group.{group.replace('-', '.')}"


def acls(group: SecurityGroup) -> tuple[Acl, ...]:
    """All ACLs of a group."""
    members = f"@{port_group_name(group.name)}"
    to, sent = f"outport == {members}", f"inport == {members}"
    found = [Acl("inbound", "inbound", _TO_GUEST, _DEFAULT, f"{to} && ip", _DROP)]
    found.append(Acl("arrived", "arrived", _TO_GUEST, _ARRIVED, f"{to} && {_LABELLED}", _PASS))
    for rule in group.rules:
        found += _of_rule(rule, to)
    if not group.denies_outbound:
        return (*found, Acl("outbound", "outbound", _FROM_GUEST, _DEFAULT, f"{sent} && ip", _PASS))
    found.append(Acl("outbound", "outbound", _FROM_GUEST, _NO_OUTBOUND, f"{sent} && ip", _DROP))
    found.append(Acl("arrived-outbound", "arrived", _FROM_GUEST, _ARRIVED, f"{sent} && {_LABELLED}", _PASS))
    services = {"dhcp": f"ip4 && {_DHCP}", "dhcpv6": f"ip6 && {_DHCPV6}"}
    for version in (4, 6):
        for protocol in ("udp", "tcp"):
            to_resolver = f"ip{version}.dst == ${RESOLVERS}_ip{version}"
            services[f"dns-{protocol}{version}"] = f"{to_resolver} && {protocol}.dst == 53"
    return (
        *found,
        *(Acl(name, name, _FROM_GUEST, _ALLOW, f"{sent} && {match}", _PASS) for name, match in services.items()),
    )


def arrivals_acls() -> tuple[Acl, ...]:
    """The ACLs of the ports that have arrived by a migration."""
    return tuple(
        Acl(key, key, direction, _ARRIVED, f"{port} == @{ARRIVALS} && {_UNDER_WAY}", _PASS, _LABEL)
        for key, direction, port in (
            ("arrivals-inbound", _TO_GUEST, "outport"),
            ("arrivals-outbound", _FROM_GUEST, "inport"),
        )
    )


def _of_rule(rule: GroupRule, to: str) -> list[Acl]:
    """The ACLs of a rule: one, or, from a group, one for each IP version."""
    priority, action = (_ALLOW, _PASS) if rule.verdict is RuleVerdict.ALLOW else (_DENY, _DROP)
    versions = (4, 6) if rule.traffic.group else (rule.traffic.network.version if rule.traffic.network else 0,)
    return [
        Acl(
            f"{rule.number}/{version}" if version else str(rule.number),
            str(rule.number),
            _TO_GUEST,
            priority,
            " && ".join((to, *_terms(rule.traffic, version))),
            action,
        )
        for version in versions
    ]


def _terms(traffic: RuleTraffic, version: int) -> list[str]:
    """Terms of a match.

    Args:
        traffic: the packets.
        version: IP version, or 0 for both.
    """
    terms = []
    if traffic.group:
        terms.append(f"ip{version}.src == ${port_group_name(traffic.group)}_ip{version}")
    elif traffic.network:
        terms.append(f"ip{version}.src == {traffic.network}")
    if traffic.ports:
        terms.append(_port_term(f"{traffic.protocol}.dst", traffic.ports))
    elif traffic.protocol == "icmp":
        terms.append(f"icmp{version or ''}")
    elif traffic.protocol:
        terms.append(f"ip.proto == {traffic.protocol}")
    return terms or ["ip"]


def _port_term(field: str, ports: tuple[tuple[int, int], ...]) -> str:
    """A match of ports: one set of all single ones, and each range."""
    single = [str(first) for first, last in ports if first == last]
    terms = [f"{field} == {{{', '.join(single)}}}"] if single else []
    terms += [f"{first} <= {field} <= {last}" for first, last in ports if first != last]
    return terms[0] if len(terms) == 1 else f"({' || '.join(terms)})"
