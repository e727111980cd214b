"""A host's domains as libvirt reports them; differences from them, and their repairs, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import assert_never
from uuid import UUID

from ovnhook.domains.values import Domain, Tap


@dataclass(frozen=True)
class Running:
    """A domain that is active on this host.

    Attributes:
        domain: parsed from its live XML; without interfaces where its metadata is invalid, which is logged separately.
        taps: the devices of all its interfaces.
        paused: whether it is paused, as during an incoming migration.
        migrates: whether a libvirt job is active on it, such as an outgoing migration.
        is_valid: whether its metadata is valid.
        hangs: whether its QEMU monitor does not respond.
    """

    domain: Domain
    taps: frozenset[str] = frozenset()
    paused: bool = False
    migrates: bool = False
    is_valid: bool = True
    hangs: bool = False


@dataclass(frozen=True)
class Domains:
    """All domains of a host.

    Attributes:
        running: the active domains.
        defined: the persistent domains, active or not.
        unknown: domains whose state is unknown, for example because libvirt does not respond for them, each with the
            difference to report, or None where it is expected.
    """

    running: Mapping[UUID, Running]
    defined: Mapping[UUID, Domain]
    unknown: Mapping[UUID, Difference | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Attach:
    """Attach a running domain again: create or correct its ports, leases and taps."""

    domain: Domain

    def __str__(self) -> str:
        return "reattach the running domain"


@dataclass(frozen=True)
class Detach:
    """Remove a domain's ports from this host, or leave them to the other host of a migration."""

    domain: Domain

    def __str__(self) -> str:
        return "remove its ports from this host"


@dataclass(frozen=True)
class FinishMigration:
    """Finish an incoming migration: bind the domain's ports to this host only."""

    domain: UUID

    def __str__(self) -> str:
        return "bind its ports to this host only"


@dataclass(frozen=True)
class CancelMigration:
    """Roll back a cancelled outgoing migration: bind the domain's ports to this host only."""

    domain: UUID

    def __str__(self) -> str:
        return "bind its ports to this host only"


@dataclass(frozen=True)
class ReleaseLeases:
    """Release all leases of a domain that does not exist any more."""

    domain: UUID

    def __str__(self) -> str:
        return "release its leases"


@dataclass(frozen=True)
class UpdateLeases:
    """Update the leases of a stopped domain to its definition."""

    domain: Domain

    def __str__(self) -> str:
        return "update its leases to its definition"


@dataclass(frozen=True)
class Unplug:
    """Remove a port from the integration bridge, unless it has changed."""

    device: str
    tap: Tap

    def __str__(self) -> str:
        return f"remove port {self.device} from the bridge"


@dataclass(frozen=True)
class ManualRepair:
    """Leave a difference to the administrator.

    Attributes:
        hint: the action to take.
    """

    hint: str

    def __str__(self) -> str:
        return f"manual: {self.hint}"


Repair = Attach | Detach | FinishMigration | CancelMigration | ReleaseLeases | UpdateLeases | Unplug | ManualRepair


def domain_of(repair: Repair) -> UUID | None:
    """The domain that a repair concerns, or None."""
    match repair:
        case Attach(domain) | Detach(domain) | UpdateLeases(domain):
            return domain.uuid
        case FinishMigration(uuid) | CancelMigration(uuid) | ReleaseLeases(uuid):
            return uuid
        case Unplug(_, tap):
            return uuid_of(tap.domain)
        case ManualRepair():
            return None
        case _:
            assert_never(repair)


@dataclass(frozen=True)
class Difference:
    """A difference between libvirt, OVN and Open vSwitch on a host.

    Attributes:
        domain: the name of the domain, its UUID where the name is unknown, or "".
        interface: the MAC of its interface, or "".
        what: description; together with domain and interface it identifies the difference in the next scan.
        repair: the repair.
        grace_period: seconds that the difference may last before it is repaired.
    """

    domain: str
    interface: str
    what: str
    repair: Repair = field(compare=False)
    grace_period: float = field(default=0.0, compare=False)

    def __str__(self) -> str:
        """One line for logs."""
        where = [f"domain {self.domain}"] if self.domain else []
        where += [f"interface {self.interface}"] if self.interface else []
        return ": ".join((*where, self.what))


@dataclass(frozen=True)
class CheckResult:
    """Result of a check for one difference.

    Attributes:
        difference: the difference.
        repaired: whether it has been repaired.
        error: why the repair failed, or "".
    """

    difference: Difference
    repaired: bool = False
    error: str = ""

    @classmethod
    def manual(cls, what: str, hint: str) -> CheckResult:
        """A problem of the host, of no domain, that is left to the administrator."""
        return cls(Difference("", "", what, ManualRepair(hint)))


def uuid_of(text: str) -> UUID | None:
    """The UUID in a text, or None if it is malformed."""
    try:
        return UUID(text)
    except ValueError:
        return None
