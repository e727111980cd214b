"""Configuration file ``/etc/ovnhook/ovnhook.toml``. All keys are optional; the defaults suit a single machine."""

from __future__ import annotations

import dataclasses
import ipaddress
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ovnhook.base.errors import InvalidConfig

PATH = Path("/etc/ovnhook/ovnhook.toml")
AGENT_SOCKET = Path("/run/ovnhook/agent.sock")
CONTROL_SOCKET = Path("/run/ovnhook/control.sock")
SERVER_NAME = "ovnhook-control"
"""DNS name in every control host's certificate."""

_TYPES = {str: "a string", float: "a number", bool: "true or false"}
_DEADLINES = (4.0, 60.0)
_POOLS = (8, 28)  # prefix lengths
_PORTS = 65536
_TLS = ("certificate", "private_key", "ca")
_DATABASE_TLS = ("database_certificate", "database_private_key", "database_ca")


@dataclass(frozen=True)
class Config:
    """Settings of a host. An empty string disables an optional setting.

    Attributes:
        northbound: remotes of the OVN northbound database, separated by commas: ``unix:/path``, ``tcp:host:port`` or
            ``ssl:host:port``.
        southbound: remotes of the OVN southbound database, for the control service.
        vswitch: remote of this host's Open vSwitch database.
        integration_bridge: bridge whose interfaces ovnhook manages.
        isolated_pool: IPv4 network that isolated domains' subnets are allocated from.
        on_unavailable: ``start`` a domain while the database is unavailable and repair its network later, or
            ``refuse`` the start.
        deadline: longest total delay of a start, in seconds.
        libvirt_networks: make every subnet a network of this host's libvirt.
        libvirt_leases: give libvirt the addresses of this host's guests, for ``virsh domifaddr``.
        listen: TCP listener of the control service, ``HOST:PORT``.
        certificate: path of the listener's certificate; without it only a loopback address is allowed, in plaintext.
        private_key: path of the certificate's private key.
        ca: path of the CA certificates for client authentication.
        authority: directory of the certificate authority.
        enrolment: listener for hosts that join with a token, ``HOST:PORT``.
        control: addresses of control services on other hosts, ``HOST:PORT`` separated by commas; on a control host the
            agent and the hook ask them after its own one.
        database_certificate: path of the client certificate for databases at ``ssl:``.
        database_private_key: path of its private key.
        database_ca: path of the CA certificates for the databases' server certificates.
    """

    northbound: str = "unix:/run/ovn/ovnnb_db.sock"
    southbound: str = "unix:/run/ovn/ovnsb_db.sock"
    vswitch: str = "unix:/run/openvswitch/db.sock"
    integration_bridge: str = "br-int"
    isolated_pool: str = "10.224.0.0/12"
    on_unavailable: str = "start"
    deadline: float = 5.0
    libvirt_networks: bool = True
    libvirt_leases: bool = True
    listen: str = ""
    certificate: str = ""
    private_key: str = ""
    ca: str = ""
    authority: str = ""
    enrolment: str = ""
    control: str = ""
    database_certificate: str = ""
    database_private_key: str = ""
    database_ca: str = ""

    @property
    def has_own_control(self) -> bool:
        """True if this host's own control service is asked, by its unix socket: on control hosts and all-in-one."""
        return bool(self.authority) or not self.control

    @property
    def call_deadline(self) -> float:
        """Timeout of one hook call in seconds: a start has two that may wait, ``prepare`` and ``start``."""
        return self.deadline / 2


def load(path: Path = PATH) -> Config:
    """Read the configuration file; without one, return the defaults.

    Example::

        config = load()
        northbound = Northbound(config.northbound)

    Raises:
        InvalidConfig: the file is unreadable or not TOML, or a key or value is invalid.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Config()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidConfig(f"{path}: {error}") from error
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidConfig(f"{path}: {error}") from error
    types = {field.name: type(field.default) for field in dataclasses.fields(Config)}
    for name, value in values.items():
        if name not in types:
            raise InvalidConfig(f"{path}: unknown key '{name}'", f"known keys: {', '.join(types)}")
        if types[name] is float and type(value) is int:
            values[name] = float(value)
        elif type(value) is not types[name]:
            raise InvalidConfig(f"{path}: {name} = {value!r}: expected {_TYPES[types[name]]}")
    config = Config(**values)
    if config.on_unavailable not in ("start", "refuse"):
        raise InvalidConfig(f"{path}: on_unavailable = {config.on_unavailable!r}: expected 'start' or 'refuse'")
    if not _DEADLINES[0] <= config.deadline <= _DEADLINES[1]:
        raise InvalidConfig(
            f"{path}: deadline = {config.deadline:g}: expected {_DEADLINES[0]:g} to {_DEADLINES[1]:g} seconds"
        )
    _check_pool(path, config.isolated_pool)
    for names in (_TLS, _DATABASE_TLS):
        _check_tls(path, config, names)
    _check_listen(path, config)
    _check_enrolment(path, config)
    _check_remotes(path, config)
    return config


def _check_remotes(path: Path, config: Config) -> None:
    for name in ("northbound", "southbound", "vswitch"):
        for remote in getattr(config, name).split(","):
            where = f"{path}: {name} = {remote!r}"
            if not remote.strip().startswith(("unix:/", "tcp:", "ssl:")):
                raise InvalidConfig(f"{where}: expected unix:/PATH, tcp:HOST:PORT or ssl:HOST:PORT")
            if remote.strip().startswith("ssl:") and not config.database_certificate:
                raise InvalidConfig(f"{where}: needs a client certificate", f"set {', '.join(_DATABASE_TLS)}")


def _check_pool(path: Path, text: str) -> None:
    try:
        pool = ipaddress.IPv4Network(text)
    except ValueError as error:
        raise InvalidConfig(f"{path}: isolated_pool = {text!r}: {error}") from error
    if not _POOLS[0] <= pool.prefixlen <= _POOLS[1]:
        raise InvalidConfig(f"{path}: isolated_pool = {text!r}: expected a /{_POOLS[0]} to /{_POOLS[1]}")


def _check_tls(path: Path, config: Config, names: Sequence[str]) -> None:
    missing = [name for name in names if not getattr(config, name)]
    if 0 < len(missing) < len(names):
        raise InvalidConfig(
            f"{path}: {' and '.join(missing)} {'are' if len(missing) > 1 else 'is'} missing",
            f"{', '.join(names)}: all of them, or none",
        )
    for name in names:
        value = getattr(config, name)
        if value and not value.startswith("/"):
            raise InvalidConfig(f"{path}: {name} = {value!r}: expected an absolute path")


def _check_listen(path: Path, config: Config) -> None:
    for name, value in (("listen", config.listen), ("enrolment", config.enrolment)):
        if value:
            _host(path, name, value)
    if config.listen and not config.certificate and not _is_loopback(_host(path, "listen", config.listen)):
        port = config.listen.rpartition(":")[2]
        raise InvalidConfig(
            f"{path}: listen = {config.listen!r}: without TLS only a loopback address is allowed",
            f"listen on 127.0.0.1:{port}, or set {', '.join(_TLS)} for mutual TLS",
        )
    for remote in filter(None, config.control.split(",")):
        _host(path, "control", remote.strip())


def _check_enrolment(path: Path, config: Config) -> None:
    if config.authority and not config.authority.startswith("/"):
        raise InvalidConfig(f"{path}: authority = {config.authority!r}: expected an absolute path")
    if config.enrolment and not (config.authority and config.certificate):
        raise InvalidConfig(
            f"{path}: enrolment = {config.enrolment!r}: needs a certificate authority and a server certificate",
            f"set authority, {', '.join(_TLS)}: ovnhook node init --control does",
        )
    if config.control and not config.database_certificate:
        raise InvalidConfig(
            f"{path}: control = {config.control!r}: needs a client certificate",
            f"set {', '.join(_DATABASE_TLS)}",
        )


def _host(path: Path, name: str, value: str) -> str:
    """Host part of a ``HOST:PORT`` setting."""
    host, _, port = value.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if (
        not host
        or (":" in host and not bracketed)
        or not (port.isascii() and port.isdigit() and 0 < int(port) < _PORTS and len(port) <= 5)
    ):
        raise InvalidConfig(f"{path}: {name} = {value!r}: expected HOST:PORT or [IPV6]:PORT")
    return host[1:-1] if bracketed else host


def _is_loopback(host: str) -> bool:
    """Test for a loopback address. Of host names only ``localhost`` is trusted to be one."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
