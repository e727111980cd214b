"""Cascades from ports and subnets to MAC reservations. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ovnhook.ovsdb import owned
from ovnhook.ovsdb.operation import Condition, delete, includes, key
from ovnhook.resources import tables
from ovnhook.resources.kind import Cascade, Put
from ovnhook.resources.port.values import Claim, Port
from ovnhook.resources.subnet.values import Subnet


def of_domain(claim: Claim) -> Condition:
    """The reservation still belongs to its domain."""
    return includes("external_ids", owned.kind("mac", domain=str(claim.domain)))


def cascade(put: Put[Any]) -> Iterator[Cascade]:
    """Release a reservation with its port, and with its subnet if the port was deleted by hand."""
    old, new = put.old, put.new
    if isinstance(old, Port) and (new is None or new.subnet != old.subnet):
        claim = Claim(old.subnet, old.mac, old.domain)
        yield Cascade((delete(tables.DNS, key(claim.uuid), of_domain(claim)),))
    elif isinstance(old, Subnet) and new is None:
        yield Cascade((delete(tables.DNS, includes("external_ids", owned.kind("mac", subnet=old.name))),))
