"""Shell completion: names and addresses from the control service, or nothing if it is unavailable."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import click

from ovnhook.api.client import Client, Object
from ovnhook.base.errors import OvnhookError

_TIMEOUT = 1.0  # seconds

Complete = Callable[[click.Context, click.Parameter, str], list[str]]


def names(method: str, rows: str, of: Callable[[Object], Iterable[str]]) -> Complete:
    """Complete with names of all objects of a list.

    Args:
        method: list method of the API, such as ``ListSubnets``.
        rows: the field of its response with the objects.
        of: returns the names of an object.
    """

    def complete(context: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
        socket = context.find_root().params["socket"]
        try:
            found: list[Object] = Client(socket, _TIMEOUT).pages(method, rows)
        except OvnhookError:
            return []  # no error messages in the middle of a command line
        known = {name for row in found for name in of(row) if name.startswith(begun)}
        # Interfaces of a domain are completed like files in a directory: only after the slash.
        return sorted(name for name in known if "/" in begun or "/" not in name)

    return complete


def field(method: str, rows: str, name: str) -> Complete:
    """Complete with one field of all objects of a list."""
    return names(method, rows, lambda row: [row[name]])


def _of_lease(row: Object) -> list[str]:
    """Names of a lease."""
    return [row["address"], row["domain_name"], f"{row['domain_name']}/{row['subnet']}", row["mac"]]


SUBNET = field("ListSubnets", "subnets", "name")
SECURITY_GROUP = field("ListSecurityGroups", "security_groups", "name")
ROUTER = field("ListRouters", "routers", "name")
NODE = field("ListNodes", "nodes", "name")
DOMAIN = field("ListLeases", "leases", "domain_name")
LEASED = names("ListLeases", "leases", _of_lease)

domain_option = click.option(
    "--domain", default="", metavar="NAME", shell_complete=DOMAIN, help="Filter by domain, name or UUID."
)
"""The option ``--domain`` of list commands."""
