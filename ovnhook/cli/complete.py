"""What a shell completes: names and addresses that the control service knows; nothing where it can't be asked."""

from __future__ import annotations

from collections.abc import Callable

import click

from ovnhook.cli.client import Client, Object
from ovnhook.errors import OvnhookError

_PATIENCE = 1.0  # seconds that somebody who has pressed Tab may wait

Complete = Callable[[click.Context, click.Parameter, str], list[str]]


def _names(method: str, rows: str, field: str) -> Complete:
    """Complete with one field of all rows of a list.

    Args:
        method: of the control service: ``ListSubnets``.
        rows: the field of its response that they are in.
        field: of a row.
    """

    def complete(context: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
        socket = context.find_root().params["socket"]
        try:
            found: list[Object] = Client(socket, _PATIENCE).pages(method, rows)
        except OvnhookError:
            return []  # whoever presses Tab must not be told of an error in the middle of a line
        return sorted({row[field] for row in found if row[field].startswith(begun)})

    return complete


SUBNET = _names("ListSubnets", "subnets", "name")
ROUTER = _names("ListRouters", "routers", "name")
NODE = _names("ListNodes", "nodes", "name")
PORT = _names("ListPorts", "ports", "id")
DOMAIN = _names("ListLeases", "leases", "domain_name")
LEASED = _names("ListLeases", "leases", "address")
FLOATING = _names("ListFloatingAddresses", "floating_addresses", "address")
