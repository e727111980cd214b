"""Filters of lists that several services share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar
from uuid import UUID


class _OfDomain(Protocol):
    @property
    def domain(self) -> UUID | None: ...

    @property
    def domain_name(self) -> str: ...


Row = TypeVar("Row", bound=_OfDomain)


def of_domain(rows: Iterable[Row], domain: str) -> list[Row]:
    """Rows of a domain, by its name or UUID; all rows if it is empty."""
    return [row for row in rows if domain in ("", row.domain_name, str(row.domain or ""))]
