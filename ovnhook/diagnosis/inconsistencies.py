"""Contradictions among rows of domains, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple


class Key(NamedTuple):
    """Key of a check.

    It is of a DNS record, of a MAC address or the groups of ports, or of a leased or virtual address, in a subnet. Of
    the limits of a port it is by the UUID of the port's row, without a subnet.
    """

    of: Literal["record", "mac", "lease", "groups", "limits", "virtual"]
    subnet: str
    name: str


@dataclass(frozen=True)
class Inconsistency:
    """Rows that contradict each other.

    Attributes:
        domain: name of the domain, or "".
        interface: MAC address of its interface, or "".
        what: description; the same in each check.
        repair: description of the repair.
        grace_period: seconds that it may last before it is repaired.
    """

    domain: str
    interface: str
    what: str
    repair: str
    grace_period: float = 0.0

    def __str__(self) -> str:
        """One line for logs."""
        where = [f"domain {self.domain}"] if self.domain else []
        where += [f"interface {self.interface}"] if self.interface else []
        return ": ".join((*where, self.what))
