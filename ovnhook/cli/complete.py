"""What a shell completes: names and addresses that the control service knows; nothing where it can't be asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import click

from ovnhook.api.client import Client, Object
from ovnhook.base.errors import OvnhookError

_PATIENCE = 1.0  # seconds that somebody who has pressed Tab may wait

Complete = Callable[[click.Context, click.Parameter, str], list[str]]


def _all(method: str, rows: str, names: Callable[[Object], Iterable[str]]) -> Complete:
    """Complete with names of all rows of a list.

    Args:
        method: of the control service: ``ListSubnets``.
        rows: the field of its response that they are in.
        names: those of a row.
    """

    def complete(context: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
        socket = context.find_root().params["socket"]
        try:
            found: list[Object] = Client(socket, _PATIENCE).pages(method, rows)
        except OvnhookError:
            return []  # whoever presses Tab must not be told of an error in the middle of a line
        known = {name for row in found for name in names(row) if name.startswith(begun)}
        # The interfaces of a domain are like files in a folder: offered when the folder is open.
        return sorted(name for name in known if "/" in begun or "/" not in name)

    return complete


def _names(method: str, rows: str, field: str) -> Complete:
    """Complete with one field of all rows of a list."""
    return _all(method, rows, lambda row: [row[field]])


def _of_port(row: Object) -> list[str]:
    """The names of a port."""
    domain = row["domain_name"]
    return [domain, f"{domain}/{row['subnet']}", row["mac"], *row["addresses"], row["id"]]


def _of_lease(row: Object) -> list[str]:
    """The names of a lease."""
    return [row["address"], row["domain_name"], f"{row['domain_name']}/{row['subnet']}", row["mac"]]


SUBNET = _names("ListSubnets", "subnets", "name")
ROUTER = _names("ListRouters", "routers", "name")
NODE = _names("ListNodes", "nodes", "name")
PORT = _all("ListPorts", "ports", _of_port)
CLIENT_PORT = _all("ListPorts", "ports", lambda row: _of_port(row) if row["kept_by"] == "client" else [])
DOMAIN = _names("ListLeases", "leases", "domain_name")
LEASED = _all("ListLeases", "leases", _of_lease)
FLOATING = _names("ListFloatingIps", "floating_ips", "address")

domain_option = click.option(
    "--domain", default="", metavar="NAME", shell_complete=DOMAIN, help="Only those of this domain, by name or UUID."
)
"""The option ``--domain`` of the commands that list what domains have."""
