"""Readers of rows: what makes of a function that reads one an error that names the row. Pure.

Every row of ours says what it is in its external_ids, under keys that begin with ``ovnhook:``. Other keys are somebody
else's, or a newer version's: they are ignored, and stay. A key that is absent has its default: an older version wrote
the row. So a key that is added later needs a default that means what was so before.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar
from uuid import UUID

from netaddr import AddrFormatError, IPAddress, IPNetwork

from ovnhook.base.errors import OvnhookError
from ovnhook.ovsdb.operation import Row, map_of
from ovnhook.ovsdb.owned import KIND
from ovnhook.resources.tables import DNS, SWITCH

P = ParamSpec("P")
T = TypeVar("T")
_LARGEST = {4: 8, 6: 32}  # prefix lengths of networks that a row is believed to mean


class BrokenRow(OvnhookError):
    """A row says that it is ours and can't be understood: a value that is needed is missing or makes no sense."""


def reader(read: Callable[Concatenate[Row, P], T]) -> Callable[Concatenate[Row, P], T]:
    """Makes of a function that reads rows one that raises BrokenRow of those that can't be."""

    @functools.wraps(read)
    def checked(row: Row, /, *more: P.args, **named: P.kwargs) -> T:
        try:
            found = read(row, *more, **named)
            # What is derived from a row that was copied, or made to say another address, would be another row's.
            if "_uuid" in row and getattr(found, "uuid", UUID(row["_uuid"][1])) != UUID(row["_uuid"][1]):
                raise ValueError("its UUID is not that of such a row: it was copied, or what it is of was changed")
            return found
        except (LookupError, ValueError, TypeError, AddrFormatError) as error:
            ids, read_as = map_of(row["external_ids"]), read.__name__.removeprefix("read_")
            uuid = row["_uuid"][1] if "_uuid" in row else "?"
            raise BrokenRow(
                f"row {uuid} with {KIND}={ids.get(KIND)} can't be read: {_reason(error)}",
                _cure(ids.get(KIND) or _READ.get(read_as, read_as), uuid),
            ) from error

    return checked


_READ = {"holding": "domain", "claim": "mac"}
"""The kinds of rows, by the name of what reads them, where that is another one."""


def _cure(kind: str, uuid: str) -> str:
    """What a person has to do about a row that can't be read: what domains have is made anew by whoever runs them.

    That is an agent, or a client of the API; which of them can't be told, for not every kind of row says so.
    """
    anew = "the agent of its domain's host makes it anew, or its client that attaches the interface again"
    match kind:
        case "port":
            return f"ovn-nbctl lsp-del {uuid}: {anew}"
        case "mac":
            return f"ovn-nbctl destroy {DNS} {uuid}: {anew}"
        case "lease":
            return f"ovn-nbctl destroy {DNS} {uuid}: {anew}, or its next start, which may give it another address"
        case "domain":
            left = "of a domain that is off, release its addresses before it starts: ovnhook lease release ADDRESS"
            return f"ovn-nbctl destroy {DNS} {uuid}: {anew}; {left}"
    table = {"subnet": SWITCH, "router": "Logical_Router", "floating": "NAT"}.get(kind, DNS)
    return f"ovn-nbctl list {table} {uuid}; put its external_ids right, or remove those of ovnhook"


def _reason(error: Exception) -> str:
    """An exception of a reader, in words."""
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)


def network_of(text: str, *versions: int) -> IPNetwork:
    """A network of one of some IP versions."""
    network = IPNetwork(text)
    if network.version not in versions or network.prefixlen < _LARGEST[network.version]:
        raise ValueError(f"network {text} is not possible")
    return network


def member_of(text: str, network: IPNetwork) -> IPAddress:
    """An address of a network."""
    member = IPAddress(text)
    if member not in network:
        raise ValueError(f"{text} is not in {network.cidr}")
    return member


def number_of(text: str, largest: int) -> int:
    """A number from 0 on."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(largest)) and int(text) <= largest):
        raise ValueError(f"{text[:20]} is not a number from 0 to {largest}")
    return int(text)
