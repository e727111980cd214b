"""What was found wrong with our own rows, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from ovnhook.ovsdb.operation import (
    Operation,
)
from ovnhook.resources.state import Cloud


@dataclass(frozen=True)
class Defect:
    """A row that is not as it is to be.

    Attributes:
        what: in words; the same ones when it is seen again.
        hint: what a person has to do, or "" where it can be repaired.
        operations: what repairs it.
    """

    what: str
    hint: str = ""
    operations: tuple[Operation, ...] = field(default=(), compare=False, hash=False)


@dataclass(frozen=True)
class Integrity:
    """What was found in one reading.

    Attributes:
        cloud: all shared resources, also those whose row is gone.
        defects: of our rows.
        guard: fails the transaction that repairs them if subnets or routers have changed meanwhile.
        runs: the run of the lease that a resource goes with, by its row: another run is another lease.
    """

    cloud: Cloud = field(default_factory=Cloud)
    defects: tuple[Defect, ...] = ()
    guard: tuple[Operation, ...] = ()
    runs: Mapping[UUID, str] = field(default_factory=dict)

    @property
    def repairable(self) -> tuple[Defect, ...]:
        """Those defects that `repair` repairs."""
        return tuple(one for one in self.defects if one.operations)
