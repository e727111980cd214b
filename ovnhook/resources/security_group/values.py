"""Security groups and their rules as immutable values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from uuid import UUID

from netaddr import IPNetwork

from ovnhook.base import uuids
from ovnhook.base.errors import InvalidRequest
from ovnhook.base.labels import GROUP_NAME, GROUP_NAMES

MAX_RULES = 100
"""Rules of one group."""

MAX_GROUPS = 16
"""Groups of one interface."""


class RuleVerdict(Enum):
    """Verdict of a rule about a packet: the verb of its command."""

    ALLOW = "allow"
    DENY = "deny"


@dataclass(frozen=True)
class RuleTraffic:
    """Packets that a rule is about, by their source and protocol.

    Attributes:
        network: of the source addresses; None without a group: any source.
        group: name of the group whose interfaces are the source, or "".
        protocol: ``tcp``, ``udp``, ``icmp`` or the number of an IP protocol; "" for any.
        ports: destination ports of TCP or UDP, as sorted ranges that do not touch.
    """

    network: IPNetwork | None = None
    group: str = ""
    protocol: str = ""
    ports: tuple[tuple[int, int], ...] = ()

    @property
    def source(self) -> str:
        """The source as it is typed: ``any``, a network, or ``group:NAME``."""
        return f"group:{self.group}" if self.group else str(self.network or "any")

    @property
    def service(self) -> str:
        """Protocol and ports, as in a rule: ``tcp 80,443``; "" for any."""
        if self.ports:
            return f"{self.protocol} {ports_text(self.ports)}"
        return f"protocol {self.protocol}" if self.protocol.isdecimal() else self.protocol


@dataclass(frozen=True)
class GroupRule:
    """A rule for packets to the interfaces of a group.

    Attributes:
        number: unique in the group, and never used again.
        verdict: allow or deny.
        traffic: the packets.
    """

    number: int
    verdict: RuleVerdict
    traffic: RuleTraffic

    def __str__(self) -> str:
        """The rule as its row has it: ``allow from any tcp 80,443``."""
        return " ".join(filter(None, (self.verdict.value, "from", self.traffic.source, self.traffic.service)))


@dataclass(frozen=True)
class SecurityGroup:
    """A security group. Packets to its interfaces are dropped unless a rule of one of their groups allows them.

    Attributes:
        name: unique name.
        rules: by number; their order does not matter.
        denies_outbound: its interfaces may only reply.
        last_rule: number of the rule that was added last.
    """

    name: str
    rules: tuple[GroupRule, ...] = ()
    denies_outbound: bool = False
    last_rule: int = 0

    @property
    def uuid(self) -> UUID:
        """UUID of its Port_Group row."""
        return group_uuid(self.name)


@dataclass(frozen=True)
class GroupMembers:
    """Ports of a group, by the UUIDs of their rows.

    Attributes:
        group: name of the group.
        ports: also foreign ones.
    """

    group: str
    ports: frozenset[UUID]

    @property
    def uuid(self) -> UUID:
        """UUID of the group's Port_Group row."""
        return group_uuid(self.group)


@dataclass(frozen=True)
class ResolverPorts:
    """Ports of the resolvers of all subnets, which interfaces always reach. They exist while a group needs them.

    Attributes:
        subnets: names of the subnets with a resolver.
    """

    subnets: frozenset[str]


@dataclass(frozen=True)
class Arrivals:
    """The group of the ports that have just arrived by a migration. It exists while there are security groups."""


def group_uuid(name: str) -> UUID:
    """UUID of the Port_Group row of a group."""
    return uuids.part("security-group", name)


def check_name(name: str) -> None:
    """Raise InvalidRequest unless a name can be that of a group."""
    if not GROUP_NAME.fullmatch(name):
        raise InvalidRequest(f"'{name[:80]}' is not a valid name of a security group", GROUP_NAMES)


def group_names(names: Iterable[str]) -> tuple[str, ...]:
    """Sorted names of groups, each once.

    Raises:
        InvalidRequest: one is not valid, or there are too many.
    """
    found = tuple(sorted(set(names)))
    for name in found:
        check_name(name)
    if len(found) > MAX_GROUPS:
        raise InvalidRequest(f"{len(found)} security groups: expected {MAX_GROUPS} at most")
    return found


def ports_text(ports: Iterable[tuple[int, int]]) -> str:
    """Ranges of ports as they are typed: ``80,7000-7010``."""
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ports)
