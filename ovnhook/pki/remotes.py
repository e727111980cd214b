"""Connection and SSL rows, which configure a database's server from within. Pure.

ovsdb-server obeys these rows as root: ``punix:`` unlinks a file, ``ptcp:`` listens without TLS, ``tcp:`` connects to
any host. So on hosts that "ovnhook node init" has set up the northbound server ignores them, and rows that ovnhook has
not created are deleted. Nodes of an earlier version can write to the northbound database.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ovnhook.pki.fence import NORTHBOUND, SOUTHBOUND_NORTHD
from ovnhook.pki.token import SOUTHBOUND

ROLE = "ovn-controller"
"""RBAC role of nodes in the southbound database."""

_ANYWHERE = ("", ":[::]")  # by IPv4, and by both
_PORTS = {"OVN_Northbound": {NORTHBOUND: ""}, "OVN_Southbound": {SOUTHBOUND: ROLE, SOUTHBOUND_NORTHD: ""}}


@dataclass(frozen=True)
class Connection:
    """Row of the table Connection.

    Attributes:
        target: connection method, such as ``pssl:6642``.
        role: RBAC role of its clients.
    """

    target: str
    role: str = ""

    def __str__(self) -> str:
        """Text for messages."""
        return f"Connection {self.target!a}" + (f" with role {self.role!a}" if self.role else "")


@dataclass(frozen=True)
class Keys:
    """Row of the table SSL.

    Attributes:
        private_key: path of the private key.
        certificate: path of the certificate.
        ca: path of the CA certificates for clients.
        bootstrap: the CA certificate is obtained from the first peer (trust on first use).
    """

    private_key: str
    certificate: str
    ca: str
    bootstrap: bool = False

    def __str__(self) -> str:
        """Text for messages."""
        paths = ", ".join(ascii(path) for path in (self.private_key, self.certificate, self.ca))
        return f"SSL {paths}" + (" with bootstrap_ca_cert" if self.bootstrap else "")


Row = Connection | Keys


def listening(port: int, role: str = "", *, ipv6: bool) -> Connection:
    """Row of a TLS listener on all addresses."""
    return Connection(f"pssl:{port}{_ANYWHERE[ipv6]}", role)


def served(database: str, *, ipv6: bool) -> Connection:
    """Row of the listener that nodes connect to; the northbound one is for nodes of an earlier version."""
    port, role = next(iter(_PORTS[database].items()))
    return listening(port, role, ipv6=ipv6)


def foreign(database: str, rows: Iterable[Row], keys: Keys) -> list[Row]:
    """Rows that ovnhook has not created.

    Args:
        database: ``OVN_Northbound`` or ``OVN_Southbound``.
        rows: all rows.
        keys: SSL row of this host.
    """
    ours: set[Row] = {keys}
    for port, role in _PORTS[database].items():
        ours |= {listening(port, role, ipv6=ipv6) for ipv6 in (False, True)}
    return [row for row in rows if row not in ours]
