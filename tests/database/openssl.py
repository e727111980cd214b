"""A certificate authority by OpenSSL."""

from __future__ import annotations

from pathlib import Path

from tests.database.ovsdb_server import run

NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


class OpensslAuthority:
    """A certificate authority, with its files in a directory."""

    def __init__(self, directory: Path, name: str) -> None:
        self.certificate, self._key = directory / f"{name}.pem", directory / f"{name}.key"
        self._directory = directory
        files = ("-keyout", str(self._key), "-out", str(self.certificate))
        run("openssl", "req", "-x509", *NEW_KEY, "-days", "30", "-subj", f"/CN={name}", *files)

    def sign(self, name: str, role: str = "reader", days: int = 30) -> tuple[Path, Path]:
        """Issue a certificate for 127.0.0.1 with a new key, and return both files; without OU if the role is empty."""
        certificate, key, request = (self._directory / f"{name}.{end}" for end in ("pem", "key", "csr"))
        files = ("-keyout", str(key), "-out", str(request))
        extension = ("-addext", "subjectAltName=IP:127.0.0.1")
        run("openssl", "req", *NEW_KEY, "-subj", f"{role and f'/OU={role}'}/CN={name}", *extension, *files)
        signer = ("-CA", str(self.certificate), "-CAkey", str(self._key), "-copy_extensions", "copy")
        run("openssl", "x509", "-req", "-in", str(request), *signer, "-days", str(days), "-out", f"{certificate}.new")
        Path(f"{certificate}.new").replace(certificate)
        return certificate, key
