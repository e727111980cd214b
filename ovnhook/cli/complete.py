"""What a shell completes: names and addresses that the control service knows; nothing where it can't be asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import click

from ovnhook.api.client import Client, Object
from ovnhook.base.errors import OvnhookError

_PATIENCE = 1.0  # seconds that somebody who has pressed Tab may wait

Complete = Callable[[click.Context, click.Parameter, str], list[str]]


def names(method: str, rows: str, of: Callable[[Object], Iterable[str]]) -> Complete:
    """Complete with names of all rows of a list.

    Args:
        method: of the control service: ``ListSubnets``.
        rows: the field of its response that they are in.
        of: the names of a row.
    """

    def complete(context: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
        socket = context.find_root().params["socket"]
        try:
            found: list[Object] = Client(socket, _PATIENCE).pages(method, rows)
        except OvnhookError:
            return []  # whoever presses Tab must not be told of an error in the middle of a line
        known = {name for row in found for name in of(row) if name.startswith(begun)}
        # The interfaces of a domain are like files in a folder: offered when the folder is open.
        return sorted(name for name in known if "/" in begun or "/" not in name)

    return complete


def field(method: str, rows: str, name: str) -> Complete:
    """Complete with one field of all rows of a list."""
    return names(method, rows, lambda row: [row[name]])


def _of_lease(row: Object) -> list[str]:
    """The names of a lease."""
    return [row["address"], row["domain_name"], f"{row['domain_name']}/{row['subnet']}", row["mac"]]


SUBNET = field("ListSubnets", "subnets", "name")
ROUTER = field("ListRouters", "routers", "name")
NODE = field("ListNodes", "nodes", "name")
DOMAIN = field("ListLeases", "leases", "domain_name")
LEASED = names("ListLeases", "leases", _of_lease)

domain_option = click.option(
    "--domain", default="", metavar="NAME", shell_complete=DOMAIN, help="Only those of this domain, by name or UUID."
)
"""The option ``--domain`` of the commands that list what domains have."""
