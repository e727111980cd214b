"""A southbound database that listens for nodes, as "ovnhook node init --control" sets it up."""

from __future__ import annotations

from ovnhook.pki.remotes import ROLE
from tests.database.openssl import OpensslAuthority
from tests.database.ovsdb_server import Server, run


def listen_for_nodes(southbound: Server, authority: OpensslAuthority, address: str) -> None:
    """Let it listen with mutual TLS and OVN's role at 127.0.0.1:PORT."""
    host, _, number = address.partition(":")
    certificate, key = authority.sign("c1", "control")
    sbctl = ("ovn-sbctl", f"--db={southbound.remote}")
    run(*sbctl, "init", "--", "set-ssl", str(key), str(certificate), str(authority.certificate))
    run(*sbctl, "set-connection", f"role={ROLE}", f"pssl:{number}:{host}")
