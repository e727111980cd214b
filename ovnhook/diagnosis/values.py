"""What libvirt says of a host's domains, and what differs from it with what repairs that, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import assert_never
from uuid import UUID

from ovnhook.domains.values import Domain, Tap
from ovnhook.resources.lease.values import Lease


@dataclass(frozen=True)
class Running:
    """A domain that runs here, or is about to.

    Attributes:
        domain: as its live XML says; without interfaces where that makes no sense, which is told elsewhere.
        taps: the devices of all its interfaces.
        paused: whether it does not run at the moment, as while it arrives from another host.
        migrates: whether libvirt is doing something long with it, as moving it to another host.
        is_valid: whether its XML could be understood.
        hangs: whether its QEMU does not answer libvirt.
    """

    domain: Domain
    taps: frozenset[str] = frozenset()
    paused: bool = False
    migrates: bool = False
    is_valid: bool = True
    hangs: bool = False


@dataclass(frozen=True)
class Domains:
    """What libvirt says.

    Attributes:
        running: the domains that run.
        defined: those that are defined, which some of the former are.
        unknown: why nothing is known of some, because libvirt does not answer for them, for example; None where that
            is as it should be.
    """

    running: Mapping[UUID, Running]
    defined: Mapping[UUID, Domain]
    unknown: Mapping[UUID, Difference | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Attach:
    """Give a running domain what it lacks."""

    domain: Domain

    def __str__(self) -> str:
        return "attach the domain as it runs"


@dataclass(frozen=True)
class Detach:
    """Take a domain's ports of this host away, or leave them to the other host of a migration."""

    domain: Domain

    def __str__(self) -> str:
        return "take its ports of this host away"


@dataclass(frozen=True)
class Arrive:
    """Make the ports of a domain that has migrated here this host's."""

    domain: UUID

    def __str__(self) -> str:
        return "make its ports this host's alone"


@dataclass(frozen=True)
class Stay:
    """Make the ports of a domain that does not migrate any more this host's alone."""

    domain: UUID

    def __str__(self) -> str:
        return "make its ports this host's alone"


@dataclass(frozen=True)
class Forget:
    """Give back all that a domain holds."""

    domain: UUID

    def __str__(self) -> str:
        return "give its leases back"


@dataclass(frozen=True)
class Keep:
    """Make what a domain holds fit to its definition."""

    domain: Domain

    def __str__(self) -> str:
        return "make what it holds fit to its definition"


@dataclass(frozen=True)
class ReleaseLease:
    """Give one lease back."""

    lease: Lease

    def __str__(self) -> str:
        return f"give {self.lease.address} back"


@dataclass(frozen=True)
class Unplug:
    """Take a port away from the integration bridge, if it is still what it was."""

    device: str
    tap: Tap

    def __str__(self) -> str:
        return f"take port {self.device} off the bridge"


@dataclass(frozen=True)
class Rename:
    """Correct the names of a subnet."""

    subnet: str
    old: Mapping[str, str]
    new: Mapping[str, str]

    def __str__(self) -> str:
        return "correct the name" if self.new else "remove the name"


@dataclass(frozen=True)
class ManualRepair:
    """Do nothing: a person has to.

    Attributes:
        hint: what.
        of_cloud: whether the control service reports it too.
    """

    hint: str
    of_cloud: bool = False

    def __str__(self) -> str:
        return f"nothing: {self.hint}"


Repair = Attach | Detach | Arrive | Stay | Forget | Keep | ReleaseLease | Unplug | Rename | ManualRepair


def domain_of(repair: Repair) -> UUID | None:
    """The domain that something is to be done for, if it is one."""
    match repair:
        case Attach(domain) | Detach(domain) | Keep(domain):
            return domain.uuid
        case Arrive(uuid) | Stay(uuid) | Forget(uuid):
            return uuid
        case ReleaseLease(lease):
            return lease.domain
        case Unplug(_, tap):
            return uuid_of(tap.domain)
        case Rename() | ManualRepair():
            return None
        case _:
            assert_never(repair)


@dataclass(frozen=True)
class Difference:
    """Something that is not as it should be.

    Attributes:
        domain: the name of the domain, or its UUID where nobody knows the name, or "".
        interface: the MAC of its interface, or "".
        what: in words; with the two above, what makes it the same one when it is seen again.
        repair: what is done about it.
        grace_period: seconds that it may be so before anything is done.
    """

    domain: str
    interface: str
    what: str
    repair: Repair = field(compare=False)
    grace_period: float = field(default=0.0, compare=False)

    def __str__(self) -> str:
        """As one line."""
        where = [f"domain {self.domain}"] if self.domain else []
        where += [f"interface {self.interface}"] if self.interface else []
        return ": ".join((*where, self.what))


@dataclass(frozen=True)
class CheckResult:
    """What a check says of a difference.

    Attributes:
        difference: which one.
        repaired: whether it has been repaired.
        error: why it could not be, or "".
    """

    difference: Difference
    repaired: bool = False
    error: str = ""


def uuid_of(said: str) -> UUID | None:
    """The UUID that somebody wrote, or None if it is none."""
    try:
        return UUID(said)
    except ValueError:
        return None
