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

P = ParamSpec("P")
T = TypeVar("T")
_LARGEST = {4: 8, 6: 32}  # prefix lengths of networks that a row is believed to mean


class BrokenRow(OvnhookError):
    """A row says that it is ours and can't be understood: a value that is needed is missing or makes no sense."""


def reader(
    table: str, cure: str = "put its external_ids right, or remove those of ovnhook"
) -> Callable[[Callable[Concatenate[Row, P], T]], Callable[Concatenate[Row, P], T]]:
    """Decorate a function that reads a row: it raises BrokenRow of one that can't be read.

    Args:
        table: of the row.
        cure: what a person has to do about such a row; ``{uuid}`` stands for the row's.
    """
    hint = cure if cure.startswith("ovn-nbctl") else f"ovn-nbctl list {table} {{uuid}}; {cure}"

    def checking(read: Callable[Concatenate[Row, P], T]) -> Callable[Concatenate[Row, P], T]:
        @functools.wraps(read)
        def checked(row: Row, /, *more: P.args, **named: P.kwargs) -> T:
            try:
                found = read(row, *more, **named)
                # What is derived from a row that was copied, or made to say another address, would be another row's.
                if "_uuid" in row and getattr(found, "uuid", UUID(row["_uuid"][1])) != UUID(row["_uuid"][1]):
                    raise ValueError("its UUID is not that of such a row: it was copied, or what it is of was changed")
                return found
            except (LookupError, ValueError, TypeError, AddrFormatError) as error:
                kind = map_of(row["external_ids"]).get(KIND)
                uuid = row["_uuid"][1] if "_uuid" in row else "?"
                raise BrokenRow(
                    f"row {uuid} with {KIND}={kind} can't be read: {_reason(error)}", hint.format(uuid=uuid)
                ) from error

        return checked

    return checking


RECREATED = "the agent of its domain's host makes it anew, or its client that attaches the interface again"
"""The end of a cure: rows of domains are written again by whoever runs them, an agent or a client of the API."""


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
