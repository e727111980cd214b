"""Readers of rows, and parsers of their values. Pure.

The external_ids of ovnhook's rows have keys that begin with ``ovnhook:``. Keys of others and of newer versions are
ignored and kept. An absent key has its default, since an older version wrote the row: the default of a new key means
the previous behaviour.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Concatenate, ParamSpec, TypeVar
from uuid import UUID

from netaddr import AddrFormatError, IPAddress, IPNetwork

from ovnhook.base.errors import InvalidRequest, OvnhookError
from ovnhook.base.labels import GROUP_NAME
from ovnhook.ovsdb.operation import Row, map_of
from ovnhook.ovsdb.owned import KIND
from ovnhook.resources import limits
from ovnhook.resources.limits import Limits

P = ParamSpec("P")
T = TypeVar("T")
_LARGEST = {4: 8, 6: 32}  # prefix lengths of the largest networks that are accepted in a row


class BrokenRow(OvnhookError):
    """A row of ovnhook with a missing or invalid value."""


def reader(
    table: str, cure: str = "correct its external_ids, or remove the keys of ovnhook"
) -> Callable[[Callable[Concatenate[Row, P], T]], Callable[Concatenate[Row, P], T]]:
    """Decorate a row reader: it raises BrokenRow for a row with missing or invalid values.

    Args:
        table: of the row.
        cure: hint of the error; ``{uuid}`` stands for the row's UUID.
    """
    hint = cure if cure.startswith("ovn-nbctl") else f"ovn-nbctl list {table} {{uuid}}; {cure}"

    def checking(read: Callable[Concatenate[Row, P], T]) -> Callable[Concatenate[Row, P], T]:
        @functools.wraps(read)
        def checked(row: Row, /, *more: P.args, **named: P.kwargs) -> T:
            try:
                found = read(row, *more, **named)
                # UUIDs are derived from keys: this row was copied, or its keys were changed.
                if "_uuid" in row and getattr(found, "uuid", UUID(row["_uuid"][1])) != UUID(row["_uuid"][1]):
                    raise ValueError("its UUID does not match its keys: it was copied, or its keys were changed")
                return found
            except (LookupError, ValueError, TypeError, AddrFormatError) as error:
                kind = map_of(row["external_ids"]).get(KIND)
                uuid = row["_uuid"][1] if "_uuid" in row else "?"
                raise BrokenRow(
                    f"row {uuid} with {KIND}={kind} can't be read: {_reason(error)}", hint.format(uuid=uuid)
                ) from error

        return checked

    return checking


def limits_of(ids: Mapping[str, str], prefix: str = "limit", *, accept_none: bool = False) -> Limits:
    """Parse rate limits in external_ids.

    Args:
        ids: without the prefix of ovnhook.
        prefix: of the keys.
        accept_none: whether a rate may be "none".
    """
    inbound, outbound = (ids.get(f"{prefix}-{way}", "") for way in limits.NO_LIMITS.by_direction)
    try:
        return limits.requested("external_ids", inbound, outbound, accept_none=accept_none)
    except InvalidRequest as error:
        raise ValueError(error.message) from error


RECREATED = "the agent of its domain's host recreates it, or a client that attaches the interface again"
"""Part of the hint for rows of domains."""


def _reason(error: Exception) -> str:
    """Message of a reader's exception."""
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)


def network_of(text: str, *versions: int) -> IPNetwork:
    """Parse a network of one of some IP versions."""
    network = IPNetwork(text)
    if network.version not in versions or network.prefixlen < _LARGEST[network.version]:
        raise ValueError(f"network {text} is invalid")
    return network


def member_of(text: str, network: IPNetwork) -> IPAddress:
    """Parse an address of a network."""
    member = IPAddress(text)
    if member not in network:
        raise ValueError(f"{text} is not in {network.cidr}")
    return member


def groups_of(text: str) -> tuple[str, ...]:
    """Parse names of security groups, sorted."""
    names = tuple(sorted(set(text.split())))
    for name in names:
        if not GROUP_NAME.fullmatch(name):
            raise ValueError(f"'{name[:80]}' is not a valid name of a security group")
    return names


def number_of(text: str, largest: int) -> int:
    """Parse a number from 0 to the largest one."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(largest)) and int(text) <= largest):
        raise ValueError(f"{text[:20]} is not a number from 0 to {largest}")
    return int(text)
