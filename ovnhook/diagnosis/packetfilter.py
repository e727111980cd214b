"""Rulesets of the kernel's packet filter as values, and what becomes of a packet in them. Pure.

Conditions are true, false, or unknown: a packet stands for many, and not all that a rule can match is understood here.
So the result is a set of verdicts, and a packet is dropped for sure only if no other verdict is possible.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase

_DEEPEST = 32  # nested jumps; the kernel's limit is 16
_MOST_RULES = 100_000  # that are looked at for a packet: beyond that its fate is unknown


class Property(Enum):
    """Properties of a packet that conditions compare."""

    INPUT = "input interface"
    OUTPUT = "output interface"
    STATE = "state of the connection"
    STATUS = "status of the connection"
    VERSION = "IP version"
    PROTOCOL = "protocol"
    PORT = "destination port"
    UNKNOWN = "anything else"


class Verdict(Enum):
    """Results of a rule for a packet."""

    ACCEPT = "accept"
    DROP = "drop"
    RETURN = "return"
    JUMP = "jump"
    GOTO = "goto"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Condition:
    """A condition of a rule.

    Attributes:
        key: what is compared.
        values: what it has to be one of; names of interfaces may end with ``*``.
        negated: it must be none of them.
    """

    key: Property
    values: frozenset[str] = frozenset()
    negated: bool = False


@dataclass(frozen=True)
class FilterRule:
    """A rule.

    Attributes:
        conditions: all of them have to be true.
        verdict: None if the packet goes on to the next rule.
        target: the chain of a jump or goto.
    """

    conditions: tuple[Condition, ...] = ()
    verdict: Verdict | None = None
    target: str = ""


@dataclass(frozen=True)
class Chain:
    """A chain.

    Attributes:
        name: its name.
        rules: its rules, in order.
        hook: of a base chain: ``forward``, ``input``, …; else "".
        drops: the policy of a base chain is drop.
    """

    name: str
    rules: tuple[FilterRule, ...] = ()
    hook: str = ""
    drops: bool = False


@dataclass(frozen=True)
class Table:
    """A table, whose chains jump to each other.

    Attributes:
        tool: command that shows and changes it: ``nft``, ``iptables``, ``ip6tables-legacy``, …
        family: ``ip``, ``ip6`` or ``inet``.
        name: its name.
        chains: by name.
    """

    tool: str
    family: str
    name: str
    chains: Mapping[str, Chain]


@dataclass(frozen=True)
class FilteredPacket:
    """A packet that is to pass.

    Attributes:
        hook: ``forward`` or ``input``.
        version: of IP.
        input: interface that it comes from, or "" for any.
        output: interface that it leaves by, or "" for any.
        is_reply: it belongs to a connection that exists.
        protocol: ``tcp``, ``udp``, or "" for any.
        port: destination port, or 0 for any.
    """

    hook: str
    version: int
    input: str = ""
    output: str = ""
    is_reply: bool = False
    protocol: str = ""
    port: int = 0


@dataclass(frozen=True)
class Block:
    """A base chain that drops a packet.

    Attributes:
        table: its table.
        chain: its name.
        packet: the packet.
    """

    table: Table
    chain: str
    packet: FilteredPacket


def blocks(tables: Sequence[Table], packet: FilteredPacket) -> Iterator[Block]:
    """Base chains that drop a packet for sure. Each base chain of a hook decides on its own."""
    for table in tables:
        if table.family in ("inet", "ip" if packet.version == 4 else "ip6"):
            for chain in table.chains.values():
                if chain.hook == packet.hook and _Walk(table, packet).fate(chain) == {Verdict.DROP}:
                    yield Block(table, chain.name, packet)


class _Walk:
    """The way of a packet through a table."""

    def __init__(self, table: Table, packet: FilteredPacket) -> None:
        self._table = table
        self._packet = packet
        self._known: dict[str, set[Verdict]] = {}
        self._rules = 0

    def fate(self, base: Chain) -> set[Verdict]:
        """Possible verdicts on the packet in a base chain."""
        found = self._verdicts(base, 0)
        if Verdict.RETURN in found:
            found = (found - {Verdict.RETURN}) | {Verdict.DROP if base.drops else Verdict.ACCEPT}
        return found

    def _verdicts(self, chain: Chain | None, depth: int) -> set[Verdict]:
        """Possible verdicts in a chain: accept, drop, unknown, and return at its end."""
        if chain is None or depth > _DEEPEST:
            return {Verdict.UNKNOWN}
        if chain.name not in self._known:
            self._known[chain.name] = self._walk(chain, depth)
        return self._known[chain.name]

    def _walk(self, chain: Chain, depth: int) -> set[Verdict]:
        found: set[Verdict] = set()
        for rule in chain.rules:
            self._rules += 1
            if self._rules > _MOST_RULES:
                return {Verdict.UNKNOWN}
            matches = _all(self._holds(one) for one in rule.conditions)
            if matches is False or rule.verdict is None:
                continue
            results = {rule.verdict}
            if rule.verdict in (Verdict.JUMP, Verdict.GOTO):
                results = self._verdicts(self._table.chains.get(rule.target), depth + 1)
            goes_on = rule.verdict is Verdict.JUMP and Verdict.RETURN in results
            found |= results - {Verdict.RETURN} if goes_on else results
            if matches and not goes_on:
                return found
        return found | {Verdict.RETURN}

    def _holds(self, condition: Condition) -> bool | None:
        """Truth of a condition; None if unknown."""
        packet = self._packet
        state = {"established"} if packet.is_reply else {"new"}
        match condition.key:
            case Property.INPUT | Property.OUTPUT:
                own = packet.input if condition.key is Property.INPUT else packet.output
                # A forwarded packet has both, a packet for this host only the first.
                found = any(fnmatchcase(own, one) for one in condition.values) if own else None
            case Property.STATE:
                found = bool(condition.values & state)
            case Property.STATUS:
                found = None if packet.is_reply else False  # a new connection has none yet
            case Property.VERSION:
                found = str(packet.version) in condition.values
            case Property.PROTOCOL:
                found = packet.protocol in condition.values if packet.protocol else None
            case Property.PORT:
                found = str(packet.port) in condition.values if packet.port else None
            case Property.UNKNOWN:
                found = None
        return None if found is None else found is not condition.negated


def _all(values: Iterator[bool | None]) -> bool | None:
    """True if all are; None if that is unknown."""
    found = list(values)
    if False in found:
        return False
    return None if None in found else True
