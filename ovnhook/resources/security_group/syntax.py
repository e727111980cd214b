"""Syntax of groups and rules as people write them and rows have them. Pure.

Everything in an OVN match comes from values that were parsed here, never from text as it was given.
"""

from __future__ import annotations

import re

from netaddr import IPNetwork

from ovnhook.base.errors import InvalidRequest
from ovnhook.resources import ip
from ovnhook.resources.security_group.values import GroupRule, RuleTraffic, RuleVerdict, check_name, ports_text

_MAX_RANGES = 32  # of ports in one rule
_LARGEST_PORT = 65_535
_LARGEST_PROTOCOL = 255
_WITH_PORTS = ("tcp", "udp")
_SOURCES = "any, a network like 10.1.0.0/24, or group:NAME"
_RULE = re.compile(
    r"(?P<verdict>allow|deny) from (?P<source>\S+)"
    r"( (?P<name>tcp|udp) (?P<ports>\S+)| (?P<icmp>icmp)| protocol (?P<number>\d{1,3}))?"
)


def traffic(source: str, protocol: str, ports: str) -> RuleTraffic:
    """Traffic as it is typed.

    Args:
        source: ``any``, a network, an address, or ``group:NAME``.
        protocol: ``tcp``, ``udp``, ``icmp``, a number, or "" for any.
        ports: of TCP or UDP, as ``80,7000-7010``, else "".

    Raises:
        InvalidRequest: a value is not valid.
    """
    if protocol and protocol not in (*_WITH_PORTS, "icmp"):
        if not re.fullmatch("[0-9]{1,3}", protocol) or int(protocol) > _LARGEST_PROTOCOL:
            raise InvalidRequest(
                f"protocol '{protocol[:80]}' is not a number from 0 to {_LARGEST_PROTOCOL}", "see /etc/protocols"
            )
        protocol = str(int(protocol))
    if bool(ports) != (protocol in _WITH_PORTS):
        raise InvalidRequest(f"ports '{ports[:80]}': expected for tcp and udp only, like 80,7000-7010")
    network, group = _source(source)
    return RuleTraffic(network, group, protocol, _ports(ports) if ports else ())


def rule(number: int, text: str) -> GroupRule:
    """Rule of a row.

    Raises:
        ValueError: it is not one.
    """
    found = _RULE.fullmatch(text)
    if found is None:
        raise ValueError(f"'{text[:80]}' is not a rule")
    protocol = found["name"] or found["icmp"] or found["number"] or ""
    try:
        return GroupRule(
            number, RuleVerdict(found["verdict"]), traffic(found["source"], protocol, found["ports"] or "")
        )
    except InvalidRequest as error:
        raise ValueError(error.message) from error


def _source(text: str) -> tuple[IPNetwork | None, str]:
    if text == "any":
        return None, ""
    kind, colon, name = text.partition(":")
    if kind == "group" and colon:
        check_name(name)
        return None, name
    if ip.is_ip(text):
        return IPNetwork(text), ""
    if ip.is_network(text):
        return IPNetwork(text), ""
    host = text.partition("/")[0]
    hint = _SOURCES
    if ip.is_ip(host) and re.fullmatch(r"[^/]+/[0-9]{1,2}", text) and ip.is_network(same := _without_host_bits(text)):
        hint = f"did you mean {same}?"
    raise InvalidRequest(f"source '{text[:80]}' is not {_SOURCES}", hint if hint != _SOURCES else "")


def _without_host_bits(text: str) -> str:
    host, _, length = text.partition("/")
    bits = 128 if ":" in host else 32
    return str(IPNetwork(text).cidr) if int(length) <= bits else ""


def _ports(text: str) -> tuple[tuple[int, int], ...]:
    """Ranges of ports, sorted and merged: one set has one form."""
    found = []
    for word in text.split(","):
        if not re.fullmatch("[0-9]{1,5}(-[0-9]{1,5})?", word):
            raise InvalidRequest(f"ports '{text[:80]}': '{word[:20]}' is not a port like 80 or a range like 7000-7010")
        first, _, last = word.partition("-")
        one = int(first), int(last or first)
        if one[0] > one[1] or one[1] > _LARGEST_PORT or not one[0]:
            raise InvalidRequest(f"ports '{text[:80]}': '{word}' is not a port or range from 1 to {_LARGEST_PORT}")
        found.append(one)
    merged: list[tuple[int, int]] = []
    for low, high in sorted(found):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = merged[-1][0], max(high, merged[-1][1])
        else:
            merged.append((low, high))
    if len(merged) > _MAX_RANGES:
        raise InvalidRequest(f"ports {ports_text(merged)[:80]}…: {len(merged)} ranges: expected {_MAX_RANGES} at most")
    return tuple(merged)
