"""Defects of ovnhook's rows, as values."""

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
    """A row that differs from its desired state.

    Attributes:
        what: description; the same in each check.
        hint: action for the operator, or "" if it is repaired automatically.
        operations: repair it.
    """

    what: str
    hint: str = ""
    operations: tuple[Operation, ...] = field(default=(), compare=False, hash=False)


@dataclass(frozen=True)
class Integrity:
    """Result of a check.

    Attributes:
        cloud: all shared resources, including those whose row was deleted by hand.
        defects: of ovnhook's rows.
        guard: operations that abort a repair if subnets or routers have changed since.
        runs: the run of the lease on which a resource depends, by the resource's row: another run is another lease.
    """

    cloud: Cloud = field(default_factory=Cloud)
    defects: tuple[Defect, ...] = ()
    guard: tuple[Operation, ...] = ()
    runs: Mapping[UUID, str] = field(default_factory=dict)

    @property
    def repairable(self) -> tuple[Defect, ...]:
        """Defects that `repair` repairs."""
        return tuple(one for one in self.defects if one.operations)
