"""Serving over TCP: with mutual TLS, or in the clear to this host alone (ovnhook.base.config refuses the rest)."""

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
    """The service's certificate and key, and who signs its clients', as they are on disk.

    Args:
        config: names the files.
        mutual: whether clients have to show a certificate.

    Raises:
        InvalidConfig: a file can't be read, or isn't what it is to be.
    """

    def __init__(self, config: Config, *, mutual: bool) -> None:
        self._files = {"certificate": config.certificate, "private_key": config.private_key, "ca": config.ca}
        self._stamp: _Stamp = ()
        self._errors = LogOnce(_log, "the certificates stay those of before")
        self._stamp, loaded = self._load()
        self.credentials = grpc.dynamic_ssl_server_credentials(
            loaded, self._renewed, require_client_authentication=mutual
        )

    def _renewed(self) -> grpc.ServerCertificateConfiguration | None:
        """Called by gRPC for each new connection: what is on disk now, or None where that is no other."""
        try:
            if self._stamps() == self._stamp:
                return None
            self._stamp, loaded = self._load()
        except InvalidConfig as error:  # perhaps one file is written already and the other not yet
            self._errors.failed(error)
            return None
        self._errors.succeeded()
        _log.info("certificate %s was renewed", self._files["certificate"])
        return loaded

    def _load(self) -> tuple[_Stamp, grpc.ServerCertificateConfiguration]:
        stamp = self._stamps()  # before they are read: what is written meanwhile is seen the next time
        certificate, key, ca = (_read(name, path) for name, path in self._files.items())
        for name, text in (("certificate", certificate), ("ca", ca)):
            _check_certificates(name, self._files[name], text)
        self._check_key(certificate, key)
        return stamp, grpc.ssl_server_certificate_configuration([(key, certificate)], root_certificates=ca)

    def _stamps(self) -> _Stamp:
        """What changes when a file is written or replaced."""
        found = []
        for name, path in self._files.items():
            try:
                status = Path(path).stat()
            except OSError as error:
                raise _wrong(name, path, error.strerror or str(error)) from error
            found.append((status.st_ino, status.st_size, status.st_mtime_ns))
        return tuple(found)

    def _check_key(self, certificate: bytes, key: bytes) -> None:
        # OpenSSL takes these two from a file only, and the key is to be in no other file than its own.
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
    """Let a server serve at an address.

    Args:
        server: before it is started.
        where: ``HOST:PORT``.
        config: names the certificates; without them it serves in the clear.
        mutual: whether clients have to show one.

    Raises:
        InvalidConfig: the certificates are not what they are to be.
        OvnhookError: the address can't be had.
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
        context.load_verify_locations(cadata=text.decode("ascii", "ignore"))  # people write more into these files
    except (ssl.SSLError, ValueError) as error:
        raise _wrong(name, path, "not a certificate in PEM") from error


def _wrong(name: str, path: str, why: str) -> InvalidConfig:
    return InvalidConfig(f"{name} {path}: {why}")
