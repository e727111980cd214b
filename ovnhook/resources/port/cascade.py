"""Changes of MAC claims that go along with changes of ports and subnets. Pure."""

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
    """The claim is still of its domain."""
    return includes("external_ids", owned.kind("mac", domain=str(claim.domain)))


def cascade(put: Put[Any]) -> Iterator[Cascade]:
    """Delete a claim with its port, and with its subnet where the port was deleted by hand."""
    match put.old, put.new:
        case Port() as old, Port() | None as new if new is None or new.subnet != old.subnet:
            claim = Claim(old.subnet, old.mac, old.domain)
            yield Cascade((delete(tables.DNS, key(claim.uuid), of_domain(claim)),))
        case Subnet() as old, None:
            yield Cascade((delete(tables.DNS, includes("external_ids", owned.kind("mac", subnet=old.name))),))
