"""TCP ports of gRPC servers: with mutual TLS, or without TLS on loopback only (checked by ovnhook.base.config)."""

from __future__ import annotations

import logging
import os
import ssl
from pathlib import Path

import grpc

from ovnhook.base.config import Config
from ovnhook.base.errors import InvalidConfig, OvnhookError
from ovnhook.base.logonce import LogOnce

_log = logging.getLogger(__name__)

_Stamp = tuple[tuple[int, int, int], ...]


class TcpCredentials:
    """Certificate, key and CA of the service, reloaded when the files change.

    Args:
        config: configuration with the files.
        mutual: True to require client certificates.

    Raises:
        InvalidConfig: unreadable or invalid file.
    """

    def __init__(self, config: Config, *, mutual: bool) -> None:
        self._files = {"certificate": config.certificate, "private_key": config.private_key, "ca": config.ca}
        self._stamp: _Stamp = ()
        self._errors = LogOnce(_log, "cannot reload the certificates")
        self._stamp, loaded = self._load()
        self.credentials = grpc.dynamic_ssl_server_credentials(
            loaded, self._reload, require_client_authentication=mutual
        )

    def _reload(self) -> grpc.ServerCertificateConfiguration | None:
        """Return the certificates if they have changed on disk, else None. gRPC calls this for each new connection."""
        try:
            if self._stamps() == self._stamp:
                return None
            self._stamp, loaded = self._load()
        except InvalidConfig as error:  # one file may be written already and the other not yet
            self._errors.failed(error)
            return None
        self._errors.succeeded()
        _log.info("certificate %s was renewed", self._files["certificate"])
        return loaded

    def _load(self) -> tuple[_Stamp, grpc.ServerCertificateConfiguration]:
        stamp = self._stamps()  # before reading, so that a later write is noticed the next time
        certificate, key, ca = (_read(name, path) for name, path in self._files.items())
        for name, text in (("certificate", certificate), ("ca", ca)):
            _check_certificates(name, self._files[name], text)
        self._check_key(certificate, key)
        return stamp, grpc.ssl_server_certificate_configuration([(key, certificate)], root_certificates=ca)

    def _stamps(self) -> _Stamp:
        """Inode, size and mtime of each file, which change when it is written or replaced."""
        found = []
        for name, path in self._files.items():
            try:
                status = Path(path).stat()
            except OSError as error:
                raise _wrong(name, path, error.strerror or str(error)) from error
            found.append((status.st_ino, status.st_size, status.st_mtime_ns))
        return tuple(found)

    def _check_key(self, certificate: bytes, key: bytes) -> None:
        # OpenSSL reads these two only from a file, and the key must not be written to another file on disk.
        number = os.memfd_create("certificate")
        try:
            os.write(number, certificate + b"\n" + key)
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(f"/proc/self/fd/{number}", password="")
        except (ssl.SSLError, ValueError) as error:
            path = self._files["private_key"]
            if getattr(error, "reason", "") == "KEY_VALUES_MISMATCH":
                raise _wrong("private_key", path, f"not the key of {self._files['certificate']}") from error
            raise _wrong("private_key", path, "not a private key in PEM, without a passphrase") from error
        finally:
            os.close(number)


def listen(server: grpc.Server, where: str, config: Config, *, mutual: bool = True) -> None:
    """Bind a server to an address.

    Args:
        server: server that is not started yet.
        where: ``HOST:PORT``.
        config: configuration with the certificates; without them the port has no TLS.
        mutual: True to require client certificates.

    Raises:
        InvalidConfig: invalid certificates.
        OvnhookError: the address can't be bound.
    """
    try:
        if config.certificate:
            bound = server.add_secure_port(where, TcpCredentials(config, mutual=mutual).credentials)
        else:
            bound = server.add_insecure_port(where)
    except RuntimeError as error:  # from newer versions of grpc
        raise OvnhookError(f"can't listen on {where}: {error}") from error
    if not bound:
        raise OvnhookError(f"can't listen on {where}")


def _read(name: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise _wrong(name, path, error.strerror or str(error)) from error


def _check_certificates(name: str, path: str, text: bytes) -> None:
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_verify_locations(cadata=text.decode("ascii", "ignore"))  # these files may contain comments
    except (ssl.SSLError, ValueError) as error:
        raise _wrong(name, path, "not a certificate in PEM") from error


def _wrong(name: str, path: str, why: str) -> InvalidConfig:
    return InvalidConfig(f"{name} {path}: {why}")
