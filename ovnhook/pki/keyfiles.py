"""Keys and certificates as files of a host."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ovnhook.base.errors import InvalidConfig, InvalidRequest
from ovnhook.pki import x509

AUTHORITY = Path("/var/lib/ovnhook/ca")
"""Where a control host has its authority."""

LOADED = Path("/run/ovnhook-fence")
"""Where ovnhook-fence.service leaves what the kernel has of `AuthorityFiles.fence` and `AuthorityFiles.ipsec`."""

NODE = Path("/etc/ovnhook/certificates")
"""Where a host that has joined has what it shows others."""

SECRET = 0o600
PUBLIC = 0o644


@dataclass(frozen=True)
class Files:
    """What somebody shows, and trusts others by.

    Attributes:
        certificate: his own.
        key: its private key.
        ca: whom he trusts.
    """

    certificate: Path
    key: Path
    ca: Path


@dataclass(frozen=True)
class AuthorityFiles:
    """The files in an authority's directory.

    Attributes:
        folder: the directory.
    """

    folder: Path

    @property
    def own(self) -> Files:
        """The authority's key and certificate; what it trusts servers by is the latter."""
        return Files(self.folder / "ca.pem", self.folder / "ca.key", self.folder / "ca.pem")

    @property
    def databases(self) -> Files:
        """What the databases of this host are given."""
        return Files(self.folder / "control.pem", self.folder / "control.key", self.folder / "databases.pem")

    @property
    def api(self) -> Files:
        """What the control service serves with."""
        return Files(self.folder / "control.pem", self.folder / "control.key", self.folder / "clients.pem")

    @property
    def ledger(self) -> Path:
        """All that this host has known of who is let in, and who no more (ovnhook.pki.members)."""
        return self.folder / "ledger.json"

    @property
    def cut(self) -> Path:
        """Is there while the databases' connections are to be cut."""
        return self.folder / "cut-is-due"

    @property
    def fence(self) -> Path:
        """The rules that keep others from what control hosts have among themselves (ovnhook.pki.fence)."""
        return self.folder / "fence.nft"

    @property
    def ipsec(self) -> Path:
        """The script that authenticates packets between control hosts, with its keys (ovnhook.pki.ipsec)."""
        return self.folder / "fence.ipsec"

    def load(self) -> x509.Authority:
        """The authority.

        Raises:
            InvalidConfig: it isn't there, or is none.
        """
        try:
            return x509.Authority(self.own.key.read_bytes(), self.own.certificate.read_bytes())
        except OSError as error:
            raise InvalidConfig(f"authority {self.folder}: {error.filename}: {error.strerror}") from error
        except InvalidRequest as error:
            raise InvalidConfig(f"authority {self.folder}: {error.message}") from error


def node(folder: Path = NODE) -> Files:
    """What a host that has joined shows, and trusts control hosts by."""
    return Files(folder / "node.pem", folder / "node.key", folder / "ca.pem")


def write(path: Path, text: bytes, mode: int) -> None:
    """Write a file as a whole, or not at all: who opens it meanwhile has what was there before.

    Args:
        path: of the file; its directory is made if there is none.
        text: what is to be in it.
        mode: its permissions.
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


def replace_certificate(shown: Files, certificate: bytes) -> None:
    """Let a host show another certificate of the key that it has, also in daemons that run.

    Args:
        shown: what it shows.
        certificate: in PEM.
    """
    write(shown.certificate, certificate, PUBLIC)
    # Daemons of Open vSwitch look whether the key's file has changed, and only then whether the certificate's has
    # (stream_ssl_set_key_and_cert() of lib/stream-ssl.c).
    os.utime(shown.key)


def is_key(path: Path) -> bool:
    """Whether a private key is in a file, all of it."""
    try:
        x509.request(read(path))
    except InvalidRequest:
        return False
    return True


def read(path: Path) -> bytes:
    """What is in a file; nothing where there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
