"""Parser of nft's JSON (libnftables-json(5)). Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ovnhook.diagnosis.packetfilter import Chain, Condition, FilterRule, Property, Table, Verdict

_FAMILIES = ("ip", "ip6", "inet")
_META = {
    "iifname": Property.INPUT,
    "iif": Property.INPUT,
    "oifname": Property.OUTPUT,
    "oif": Property.OUTPUT,
    "l4proto": Property.PROTOCOL,
    "nfproto": Property.VERSION,
    "protocol": Property.VERSION,
}
_CONNECTION = {"state": Property.STATE, "status": Property.STATUS}
_VERSIONS = {"ip": "4", "ip6": "6", "ipv4": "4", "ipv6": "6"}
_TRANSPORTS = ("tcp", "udp", "sctp", "dccp", "udplite")
_VERDICTS = {
    "accept": Verdict.ACCEPT,
    "drop": Verdict.DROP,
    "reject": Verdict.DROP,
    "return": Verdict.RETURN,
    "jump": Verdict.JUMP,
    "goto": Verdict.GOTO,
    "queue": Verdict.UNKNOWN,
}
_CONDITIONAL = ("limit", "quota", "ct count", "xt")
"""Statements that end a rule for some packets."""

_LARGEST_RANGE = 1024  # ports that are listed one by one
_UNKNOWN = Condition(Property.UNKNOWN)

_Sets = Mapping[str, Sequence[Any]]


def parse(text: str) -> list[Table]:
    """Parse the output of ``nft --json list ruleset``.

    Raises:
        ValueError: it is something else.
    """
    try:
        rows = json.loads(text)["nftables"]
        chains: dict[tuple[str, str], dict[str, Chain]] = {}
        sets: dict[tuple[str, str], dict[str, Sequence[Any]]] = {}
        rules: dict[tuple[str, str, str], list[FilterRule]] = {}
        for kind, row in (pair for one in rows for pair in one.items()):
            place = (row.get("family", ""), row.get("table", ""))
            if kind == "set":
                sets.setdefault(place, {})[row["name"]] = row.get("elem", ())
            elif kind == "chain":
                chain = Chain(row["name"], (), row.get("hook", ""), row.get("policy") == "drop")
                chains.setdefault(place, {})[row["name"]] = chain
            elif kind == "rule":
                found = _rules(row["expr"], sets.get(place, {}))
                rules.setdefault((*place, row["chain"]), []).extend(found)
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"unknown output of nft: {error!r}") from error
    return [
        Table(
            "nft",
            family,
            name,
            {
                chain.name: Chain(chain.name, tuple(rules.get((family, name, chain.name), ())), chain.hook, chain.drops)
                for chain in found.values()
            },
        )
        for (family, name), found in chains.items()
        if family in _FAMILIES
    ]


def _rules(statements: Sequence[Mapping[str, Any]], sets: _Sets) -> Iterator[FilterRule]:
    """A rule as one or, with a verdict map, as one for each verdict."""
    conditions: list[Condition] = []
    for statement in statements:
        ((kind, value),) = statement.items()
        if kind == "match":
            conditions += _conditions(value["left"], value["op"], value["right"], sets)
        elif kind == "vmap":
            for key, verdict in _elements(value["data"], sets):
                yield _rule([*conditions, *_conditions(value["key"], "==", key, sets)], verdict)
            return
        elif kind in _VERDICTS:
            yield _rule(conditions, statement)
            return
        elif kind == "xt" and value.get("type") == "target":
            verdict = Verdict.DROP if value.get("name") == "REJECT" else Verdict.UNKNOWN
            yield FilterRule((*conditions, *([] if verdict is Verdict.DROP else [_UNKNOWN])), verdict)
            return
        elif kind in _CONDITIONAL:
            conditions.append(_UNKNOWN)


def _rule(conditions: Sequence[Condition], verdict: Mapping[str, Any]) -> FilterRule:
    ((kind, value),) = verdict.items()
    return FilterRule(tuple(conditions), _VERDICTS[kind], value["target"] if kind in ("jump", "goto") else "")


def _conditions(left: Any, operator: str, right: Any, sets: _Sets) -> list[Condition]:
    """Conditions of a match; a field of a protocol's header implies the protocol."""
    if not isinstance(left, dict):
        return [_UNKNOWN]
    ((kind, value),) = left.items()
    if kind == "meta":
        return [_condition(_META.get(value["key"], Property.UNKNOWN), operator, right, sets)]
    if kind == "ct":
        return [_condition(_CONNECTION.get(value["key"], Property.UNKNOWN), operator, right, sets)]
    if kind == "payload" and "protocol" in value:
        header, field = value["protocol"], value["field"]
        if header in _VERSIONS:
            own = Condition(Property.VERSION, frozenset({_VERSIONS[header]}))
            key = Property.PROTOCOL if field in ("protocol", "nexthdr") else Property.UNKNOWN
        else:
            own = Condition(Property.PROTOCOL, frozenset({header})) if header != "th" else _UNKNOWN
            key = Property.PORT if field == "dport" and header in _TRANSPORTS else Property.UNKNOWN
        return [own, _condition(key, operator, right, sets)]
    return [_UNKNOWN]


def _condition(key: Property, operator: str, right: Any, sets: _Sets) -> Condition:
    if key is Property.UNKNOWN or operator not in ("==", "!=", "in"):
        return _UNKNOWN
    try:
        values = [text for one in _elements(right, sets) for text in _texts(one)]
    except (LookupError, ValueError):
        return _UNKNOWN
    if key is Property.VERSION:
        values = [_VERSIONS.get(one, one) for one in values]
    return Condition(key, frozenset(values), operator == "!=")


def _elements(value: Any, sets: _Sets) -> Sequence[Any]:
    """Elements of a set, a list, a named set, or a single value."""
    if isinstance(value, str) and value.startswith("@"):
        return [one["elem"]["val"] if isinstance(one, dict) and "elem" in one else one for one in sets[value[1:]]]
    if isinstance(value, dict) and "set" in value:
        return list(value["set"])
    return value if isinstance(value, list) else [value]


def _texts(value: Any) -> Iterator[str]:
    """A value as texts; a short range as all of its numbers.

    Raises:
        ValueError: it is something else.
    """
    if isinstance(value, str | int):
        yield str(value)
        return
    first, last = value["range"]
    if not (isinstance(first, int) and isinstance(last, int) and last - first < _LARGEST_RANGE):
        raise ValueError(value)
    yield from map(str, range(first, last + 1))
