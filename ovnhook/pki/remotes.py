"""Rows by which a database tells its server where to listen and connect, and with which keys. Pure.

ovsdb-server follows the rows of Connection and SSL as root: ``punix:`` unlinks a file, ``ptcp:`` listens in the clear,
``tcp:`` connects to anybody. Every node may write to the northbound database, so its server follows no row on a host
that "ovnhook node init" has set up, and rows that ovnhook has not made are taken out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ovnhook.pki.fence import SOUTHBOUND_NORTHD
from ovnhook.pki.token import NORTHBOUND, SOUTHBOUND

ROLE = "ovn-controller"
"""The role of nodes in the RBAC of the southbound database."""

_ANYWHERE = ("", ":[::]")  # by IPv4, and by both
_PORTS = {"OVN_Northbound": {NORTHBOUND: ""}, "OVN_Southbound": {SOUTHBOUND: ROLE, SOUTHBOUND_NORTHD: ""}}


@dataclass(frozen=True)
class Connection:
    """A row of the table Connection.

    Attributes:
        target: where the server listens or connects to.
        role: of those who come by it, in the database's RBAC.
    """

    target: str
    role: str = ""

    def __str__(self) -> str:
        """It as a person is told of it."""
        return f"Connection {self.target!a}" + (f" with role {self.role!a}" if self.role else "")


@dataclass(frozen=True)
class Keys:
    """A row of the table SSL.

    Attributes:
        private_key: path of a file.
        certificate: path of a file.
        ca: path of the file with the certificates that clients are trusted by.
        bootstrap: whether whatever a peer shows first becomes that file.
    """

    private_key: str
    certificate: str
    ca: str
    bootstrap: bool = False

    def __str__(self) -> str:
        """It as a person is told of it."""
        paths = ", ".join(ascii(path) for path in (self.private_key, self.certificate, self.ca))
        return f"SSL {paths}" + (" with bootstrap_ca_cert" if self.bootstrap else "")


Row = Connection | Keys


def listening(port: int, role: str = "", *, ipv6: bool) -> Connection:
    """The row by which a server listens to everybody who has a certificate."""
    return Connection(f"pssl:{port}{_ANYWHERE[ipv6]}", role)


def served(database: str, *, ipv6: bool) -> Connection:
    """The row by which nodes reach a database."""
    port, role = next(iter(_PORTS[database].items()))
    return listening(port, role, ipv6=ipv6)


def foreign(database: str, rows: Iterable[Row], keys: Keys) -> list[Row]:
    """The rows that ovnhook has not made.

    Args:
        database: ``OVN_Northbound`` or ``OVN_Southbound``.
        rows: that are there.
        keys: those of this host.
    """
    ours: set[Row] = {keys}
    for port, role in _PORTS[database].items():
        ours |= {listening(port, role, ipv6=ipv6) for ipv6 in (False, True)}
    return [row for row in rows if row not in ours]
