"""``ovnhook certificate``."""

from __future__ import annotations

import time
from pathlib import Path

import click

from ovnhook.api.client import Client, Object
from ovnhook.base.errors import (
    AlreadyExists,
    Exhausted,
    FailedPrecondition,
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
_REFUSED = (InvalidRequest, NotFound, AlreadyExists, FailedPrecondition, PermissionDenied, Exhausted)
"""Errors after which the control service has changed nothing."""


@click.group(invoke_without_command=True)
@click.pass_context
def certificate(context: click.Context) -> None:
    """Certificates: trusted clients of the control service and the databases."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@certificate.command("list")
@format_option
@click.pass_obj
def list_(socket: Path | None, format_: str) -> None:
    """List the trusted clients.

    These are control hosts, nodes, operators and readers.

    \b
    Example:
      ovnhook certificate list
    """
    show_list(Client(socket).pages("ListCertificates", "certificates"), _COLUMNS, format_)


@certificate.command()
@click.argument("name")
@click.option("--role", type=_PEOPLE, required=True, help="Permissions: all, or read-only.")
@click.pass_obj
def create(socket: Path | None, name: str, role: str) -> None:
    """Create a client certificate for NAME.

    Writes NAME.key, NAME.pem and ca.pem to the current directory. If ca.pem is of another cloud, the CA certificate is
    written to NAME.ca.pem. The certificate is valid for 90 days. Nodes get theirs with "ovnhook node join".

    \b
    Example:
      ovnhook certificate create alice --role operator
    """
    from ovnhook.pki import keyfiles, x509

    x509.Subject(name, role)  # validates the name before it becomes a file name
    key, made, ca = (Path(f"{name}.key"), Path(f"{name}.pem"), Path("ca.pem"))
    for path in (key, made):
        if path.exists():
            raise AlreadyExists(f"{path} already exists", "move it away, or use another directory")
    # The key is kept until the outcome is known, so that a retry requests the certificate for the same key.
    pending = Path(f"{name}.{role}.pending-key")
    try:
        if not keyfiles.is_key(pending):
            keyfiles.write(pending, x509.new_key(), keyfiles.SECRET)  # first: without a key a certificate is useless
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
    """Request a certificate for a key; delete the key if none was issued for certain."""
    from ovnhook.pki import x509

    request = x509.request(pending.read_bytes()).decode()
    try:
        return Client(socket).call("IssueCertificate", name=name, role=role, request=request)
    except Unavailable as error:
        again = f"retry with the key in {pending}: ovnhook certificate create {name} --role {role}"
        raise Unavailable(error.message, f"{error.hint}; then {again}" if error.hint else again) from error
    except _REFUSED:
        pending.unlink(missing_ok=True)
        raise


@certificate.command()
@click.argument("name")
@click.option("--role", type=_CLIENTS, required=True, help="Role of the certificate.")
@click.pass_obj
def revoke(socket: Path | None, name: str, role: str) -> None:
    """Revoke the certificates of NAME.

    Takes effect immediately. A node's chassis and ports stay until "ovnhook node remove".

    \b
    Example:
      ovnhook certificate revoke alice --role operator
    """
    Client(socket).call("RevokeCertificate", name=name, role=role)
