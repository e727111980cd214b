"""Parser of iptables-save(8) and ip6tables-save(8). Pure."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field

from ovnhook.diagnosis.packetfilter import Chain, Condition, FilterRule, Property, Table, Verdict

_VERDICTS = {
    "ACCEPT": Verdict.ACCEPT,
    "DROP": Verdict.DROP,
    "REJECT": Verdict.DROP,
    "RETURN": Verdict.RETURN,
    "QUEUE": Verdict.UNKNOWN,
    "NFQUEUE": Verdict.UNKNOWN,
}
"""Targets that end a chain; other extensions do not: iptables-extensions(8)."""

_UNDERSTOOD = frozenset({"conntrack", "state", "tcp", "udp", "multiport", "comment"})
_UNKNOWN = Condition(Property.UNKNOWN)
_LARGEST_RANGE = 1024  # ports that are listed one by one


@dataclass
class _SavedChain:
    """A chain that is being read."""

    drops: bool
    rules: list[tuple[str, ...]] = field(default_factory=list)


def parse(text: str, tool: str) -> list[Table]:
    """Parse the output of ``iptables-save``.

    Args:
        text: the output.
        tool: ``iptables``, ``ip6tables-legacy``, …
    """
    tables: list[Table] = []
    name, chains = "", dict[str, _SavedChain]()
    for line in text.splitlines():
        if line.startswith("*"):
            name, chains = line[1:].strip(), {}
        elif line.startswith(":"):
            chain, policy, *_ = line[1:].split()
            chains[chain] = _SavedChain(policy == "DROP")
        elif line.startswith("-A "):
            _, chain, *words = _words(line)
            if chain in chains:
                chains[chain].rules.append(tuple(words))
        elif line.strip() == "COMMIT":
            family = "ip6" if tool.startswith("ip6") else "ip"
            tables.append(Table(tool, family, name, {one: _chain(one, chains) for one in chains}))
    return tables


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:  # a comment with a quote
        return line.split()


def _chain(name: str, chains: dict[str, _SavedChain]) -> Chain:
    found = chains[name]
    hook = name.lower() if name in ("INPUT", "FORWARD", "OUTPUT", "PREROUTING", "POSTROUTING") else ""
    return Chain(name, tuple(_rule(words, chains) for words in found.rules), hook, found.drops)


def _rule(words: Sequence[str], chains: dict[str, _SavedChain]) -> FilterRule:
    conditions: list[Condition] = []
    negated = False
    left = list(words)
    while left:
        word = left.pop(0)
        if word == "!":
            negated = True
            continue
        if word in ("-j", "-g") and left:
            return _targeted(tuple(conditions), left[0], chains, is_goto=word == "-g")
        values = []
        while left and left[0] != "!" and not left[0].startswith("-"):
            values.append(left.pop(0))
        conditions += _conditions(word, values, negated=negated)
        negated = False
    return FilterRule(tuple(conditions))


def _targeted(
    conditions: tuple[Condition, ...], target: str, chains: dict[str, _SavedChain], *, is_goto: bool
) -> FilterRule:
    if target in chains:
        return FilterRule(conditions, Verdict.GOTO if is_goto else Verdict.JUMP, target)
    return FilterRule(conditions, _VERDICTS.get(target))


def _conditions(option: str, values: Sequence[str], *, negated: bool) -> list[Condition]:
    """Conditions of an option of a rule."""
    value = values[0] if values else ""
    match option:
        case "-i" | "-o":
            key = Property.INPUT if option == "-i" else Property.OUTPUT
            return [Condition(key, frozenset({f"{value[:-1]}*" if value.endswith("+") else value}), negated)]
        case "-p":
            return [Condition(Property.PROTOCOL, frozenset({value}), negated)]
        case "-m":
            # Matches of a protocol have its name, as the option -p before them.
            return [] if value in _UNDERSTOOD else [_UNKNOWN]
        case "--comment":
            return []
        case "--ctstate" | "--state":
            return [Condition(Property.STATE, frozenset(value.lower().split(",")), negated)]
        case "--dport" | "--dports":
            ports = _ports(value)
            return [Condition(Property.PORT, ports, negated)] if ports else [_UNKNOWN]
        case _:
            return [_UNKNOWN]


def _ports(text: str) -> frozenset[str]:
    """Port numbers of a list with ranges; empty if it can't be understood."""
    found: set[str] = set()
    for one in text.split(","):
        first, _, last = one.partition(":")
        if not (first.isdecimal() and (last or first).isdecimal()):
            return frozenset()
        if int(last or first) - int(first) >= _LARGEST_RANGE:
            return frozenset()
        found |= {str(number) for number in range(int(first), int(last or first) + 1)}
    return frozenset(found)
