"""Certificates of a lab's control services and nodes, from an authority of its own.

The control services know its certificate only (``ca`` in ovnhook.toml). Without its key (``authority``) in the settings
they neither enrol nor revoke, and write nothing about it to the databases: tests find no rows but those they made.
"""

from __future__ import annotations

from pathlib import Path

from lab.host import LabHost
from ovnhook.pki import keyfiles, x509
from ovnhook.pki.keyfiles import PUBLIC, SECRET, AuthorityFiles, Files
from ovnhook.pki.x509 import NODE, Authority, Subject

_CONTROL = Files(keyfiles.NODE / "control.pem", keyfiles.NODE / "control.key", keyfiles.NODE / "clients.pem")
_NODE = keyfiles.node()

CONTROL_SETTINGS = {"certificate": str(_CONTROL.certificate), "private_key": str(_CONTROL.key), "ca": str(_CONTROL.ca)}
"""Settings in ovnhook.toml of a control service with a certificate."""

NODE_SETTINGS = {
    "database_certificate": str(_NODE.certificate),
    "database_private_key": str(_NODE.key),
    "database_ca": str(_NODE.ca),
}
"""Settings in ovnhook.toml of a node with a certificate."""


def create_authority(folder: Path) -> None:
    """Create the authority in a folder."""
    files, made = AuthorityFiles(folder).own, Authority.new()
    keyfiles.write(files.key, made.key, SECRET)
    keyfiles.write(files.certificate, made.certificate, PUBLIC)


def issue_control(host: LabHost, folder: Path, address: str) -> None:
    """Give a host the certificate of a control service at an address, from the authority in a folder."""
    authority, key = AuthorityFiles(folder).load(), x509.new_key()
    certificate = authority.issue_server(x509.request(key), host.name, [address])
    _write(host, _CONTROL, key, certificate, authority)


def issue_node(host: LabHost, folder: Path) -> None:
    """Give a host the certificate of a node, from the authority in a folder."""
    authority, key = AuthorityFiles(folder).load(), x509.new_key()
    certificate = authority.issue(x509.request(key), Subject(host.name, NODE), authority.certificate)
    _write(host, _NODE, key, certificate, authority)


def node_credentials(folder: Path, name: str) -> tuple[bytes, bytes, bytes]:
    """CA certificate, and key and certificate of a node that has no host in the lab."""
    authority, key = AuthorityFiles(folder).load(), x509.new_key()
    certificate = authority.issue(x509.request(key), Subject(name, NODE), authority.certificate)
    return authority.certificate, key, certificate


def _write(host: LabHost, files: Files, key: bytes, certificate: bytes, authority: Authority) -> None:
    for path, text, mode in (
        (files.certificate, certificate, PUBLIC),
        (files.key, key, SECRET),
        (files.ca, authority.certificate, PUBLIC),
    ):
        keyfiles.write(host.outside_path(str(path)), text, mode)
