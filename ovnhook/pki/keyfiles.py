"""Key and certificate files of a host."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ovnhook.base.errors import InvalidConfig, InvalidRequest
from ovnhook.pki import x509

AUTHORITY = Path("/var/lib/ovnhook/ca")
"""Directory of a control host's certificate authority."""

NORTHBOUND_DROP_IN = Path("/etc/systemd/system/ovn-ovsdb-server-nb.service.d/ovnhook.conf")
"""Drop-in of Debian's unit of the northbound server, with its options."""

LOADED = Path("/run/ovnhook-fence")
"""Directory of ovnhook-fence.service with copies of the loaded `AuthorityFiles.fence` and `AuthorityFiles.ipsec`."""

NODE = Path("/etc/ovnhook/certificates")
"""Directory of a node's certificate and key."""

SECRET = 0o600
PUBLIC = 0o644


@dataclass(frozen=True)
class Files:
    """TLS files of a client or server.

    Attributes:
        certificate: its own certificate.
        key: private key of the certificate.
        ca: certificates of the peers that it trusts.
    """

    certificate: Path
    key: Path
    ca: Path


@dataclass(frozen=True)
class AuthorityFiles:
    """Files of a certificate authority.

    Attributes:
        folder: directory of the files.
    """

    folder: Path

    @property
    def own(self) -> Files:
        """Key and certificate of the authority, which is also the CA for servers."""
        return Files(self.folder / "ca.pem", self.folder / "ca.key", self.folder / "ca.pem")

    @property
    def databases(self) -> Files:
        """TLS files of this host's databases that nodes access: the southbound one.

        Also of the northbound one, where an earlier version has set it up.
        """
        return Files(self.folder / "control.pem", self.folder / "control.key", self.folder / "databases.pem")

    @property
    def northbound(self) -> Files:
        """TLS files of this host's northbound database, which nodes access until all of them use the API."""
        return Files(self.folder / "control.pem", self.folder / "control.key", self.folder / "northbound.pem")

    @property
    def serves_nodes(self) -> bool:
        """True if the northbound database accepts certificates of nodes."""
        return read(self.northbound.ca) not in (b"", read(self.own.certificate))

    @property
    def api(self) -> Files:
        """TLS files of the control service."""
        return Files(self.folder / "control.pem", self.folder / "control.key", self.folder / "clients.pem")

    @property
    def ledger(self) -> Path:
        """Local copy of the trusted and revoked clients (ovnhook.pki.members)."""
        return self.folder / "ledger.json"

    @property
    def cut(self) -> Path:
        """Flag file: the databases' connections are still to be closed, after certificates were removed."""
        return self.folder / "cut-is-due"

    @property
    def fence(self) -> Path:
        """Ruleset of nftables for the cluster ports (ovnhook.pki.fence)."""
        return self.folder / "fence.nft"

    @property
    def ipsec(self) -> Path:
        """IPsec script for packets between control hosts, with keys (ovnhook.pki.ipsec)."""
        return self.folder / "fence.ipsec"

    def load(self) -> x509.Authority:
        """Load the authority.

        Raises:
            InvalidConfig: a file is missing or invalid.
        """
        try:
            return x509.Authority(self.own.key.read_bytes(), self.own.certificate.read_bytes())
        except OSError as error:
            raise InvalidConfig(f"authority {self.folder}: {error.filename}: {error.strerror}") from error
        except InvalidRequest as error:
            raise InvalidConfig(f"authority {self.folder}: {error.message}") from error


def node(folder: Path = NODE) -> Files:
    """TLS files of a node."""
    return Files(folder / "node.pem", folder / "node.key", folder / "ca.pem")


def write(path: Path, text: bytes, mode: int) -> None:
    """Write a file atomically; its directory is created if missing.

    Args:
        path: path of the file.
        text: new content.
        mode: permissions.
    """
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(number, "wb") as file:
            os.fchmod(number, mode)
            file.write(text)
            file.flush()
            os.fsync(number)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def replace_certificate(files: Files, certificate: bytes) -> None:
    """Replace the certificate of an unchanged key. Running daemons load it.

    Args:
        files: TLS files of the host.
        certificate: new certificate, in PEM.
    """
    write(files.certificate, certificate, PUBLIC)
    # Open vSwitch's daemons reload the certificate only if the key file has changed as well
    # (stream_ssl_set_key_and_cert() of lib/stream-ssl.c).
    os.utime(files.key)


def is_key(path: Path) -> bool:
    """Test for a file with a complete private key."""
    try:
        x509.request(read(path))
    except InvalidRequest:
        return False
    return True


def read(path: Path) -> bytes:
    """Content of a file, empty if missing."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
