"""``ovnhook certificate``."""

from __future__ import annotations

import time
from pathlib import Path

import click

from ovnhook.api.client import Client, Object
from ovnhook.base.errors import (
    AlreadyExists,
    Exhausted,
    InUse,
    InvalidRequest,
    NotFound,
    PermissionDenied,
    Unavailable,
)
from ovnhook.cli.output import format_option, say, show_list


def _day(seconds: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))


_COLUMNS = {
    "ROLE": lambda row: row["role"],
    "NAME": lambda row: row["name"],
    "EXPIRES": lambda row: _day(row["expires"]),
}
_PEOPLE = click.Choice(["operator", "reader"])
_CLIENTS = click.Choice(["operator", "reader", "node"])
_REFUSED = (InvalidRequest, NotFound, AlreadyExists, InUse, PermissionDenied, Exhausted)
"""Errors of a control service that has done nothing."""


@click.group(invoke_without_command=True)
@click.pass_context
def certificate(context: click.Context) -> None:
    """Certificates: who is let in to the control service, and to the databases."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@certificate.command("list")
@format_option
@click.pass_obj
def list_(socket: Path | None, format_: str) -> None:
    """Show who is let in: control hosts, nodes, operators, readers.

    \b
    Example:
      ovnhook certificate list
    """
    show_list(Client(socket).pages("ListCertificates", "certificates"), _COLUMNS, format_)


@certificate.command()
@click.argument("name")
@click.option("--role", type=_PEOPLE, required=True, help="What NAME may do: everything, or only look.")
@click.pass_obj
def create(socket: Path | None, name: str, role: str) -> None:
    """Let NAME in, from any host: NAME.key, NAME.pem and ca.pem are written to the current directory.

    Where there is a ca.pem of another cloud already it is NAME.ca.pem. The certificate is good for 90 days. Nodes have
    theirs by "ovnhook node join".

    \b
    Example:
      ovnhook certificate create alice --role operator
    """
    from ovnhook.pki import keyfiles, x509

    x509.Subject(name, role)  # refused before a file is made of it
    key, made, ca = (Path(f"{name}.key"), Path(f"{name}.pem"), Path("ca.pem"))
    for path in (key, made):
        if path.exists():
            raise AlreadyExists(f"there is a file {path}", "mv it away, or go to another directory")
    # Until it is known whether its certificate was issued the key is kept: with it the same one is asked for again.
    pending = Path(f"{name}.{role}.pending-key")
    try:
        if not keyfiles.is_key(pending):
            keyfiles.write(pending, x509.new_key(), keyfiles.SECRET)  # first: nobody is let in whose key can't be kept
        found = _issue(socket, name, role, pending)
        if keyfiles.read(ca) not in (b"", found["ca"].encode()):
            ca = Path(f"{name}.ca.pem")
        keyfiles.write(ca, found["ca"].encode(), keyfiles.PUBLIC)
        keyfiles.write(made, found["certificate"].encode(), keyfiles.PUBLIC)
        pending.rename(key)
    except OSError as error:
        raise InvalidRequest(f"{error.filename}: {error.strerror}") from error
    say(f"wrote {key}, {made}, {ca}")


def _issue(socket: Path | None, name: str, role: str, pending: Path) -> Object:
    """A certificate for a key, which is thrown away if it is certain that there is none."""
    from ovnhook.pki import x509

    request = x509.request(pending.read_bytes()).decode()
    try:
        return Client(socket).call("IssueCertificate", name=name, role=role, request=request)
    except Unavailable as error:
        again = f"repeat it, with the key in {pending}: ovnhook certificate create {name} --role {role}"
        raise Unavailable(error.message, f"{error.hint}; then {again}" if error.hint else again) from error
    except _REFUSED:
        pending.unlink(missing_ok=True)
        raise


@certificate.command()
@click.argument("name")
@click.option("--role", type=_CLIENTS, required=True, help="Of the certificate.")
@click.pass_obj
def revoke(socket: Path | None, name: str, role: str) -> None:
    """Let NAME in no more, from now on. Of a node its chassis and its ports stay, until "ovnhook node remove".

    \b
    Example:
      ovnhook certificate revoke alice --role operator
    """
    Client(socket).call("RevokeCertificate", name=name, role=role)
