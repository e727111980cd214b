"""What ``/etc/ovnhook/ovnhook.toml`` says. Without the file everything has a default that works on one machine."""

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

_DEADLINES = (4.0, 60.0)
_POOLS = (8, 28)  # prefix lengths
_PORTS = 65536
_TLS = ("certificate", "private_key", "ca")
_DATABASE_TLS = ("database_certificate", "database_private_key", "database_ca")


@dataclass(frozen=True)
class Config:
    """The settings of a host.

    Attributes:
        northbound: where the OVN northbound database is: ``unix:/path``, ``tcp:host:port`` or ``ssl:host:port``,
            several with commas.
        southbound: where the OVN southbound database is, which the control service reads.
        vswitch: where this host's Open vSwitch database is.
        integration_bridge: interfaces on this bridge are ours.
        isolated_pool: the IPv4 network that domains' own subnets are carved from.
        on_unavailable: what becomes of a domain's start while the database is out of reach: ``start`` it, and heal its
            network later, or ``refuse`` it.
        deadline: seconds that a start may be held up in all, whatever happens.
        listen: where the control service serves beside its unix socket: ``HOST:PORT``, or "" for nowhere.
        certificate: path of its certificate for that, or "" to serve in the clear, which only loopback may have.
        private_key: path of the certificate's key.
        ca: path of the certificates of those who sign its clients'.
        authority: the directory of the certificate authority's key and of what is made with it, or "" where none is.
        enrolment: where hosts join with a token: ``HOST:PORT``, or "" for nowhere.
        control: where the commands reach the control service: ``HOST:PORT``, several with commas, or "" for the unix
            socket of this host's.
        database_certificate: path of the certificate that databases at ``ssl:`` are shown, or "".
        database_private_key: path of its key.
        database_ca: path of the certificates of those who sign the databases'.
    """

    northbound: str = "unix:/run/ovn/ovnnb_db.sock"
    southbound: str = "unix:/run/ovn/ovnsb_db.sock"
    vswitch: str = "unix:/run/openvswitch/db.sock"
    integration_bridge: str = "br-int"
    isolated_pool: str = "10.224.0.0/12"
    on_unavailable: str = "start"
    deadline: float = 5.0
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
    def call_deadline(self) -> float:
        """Seconds for one call of the hook: a start makes two that may have to wait, ``prepare`` and ``start``."""
        return self.deadline / 2


def load(path: Path = PATH) -> Config:
    """Read the configuration file.

    Raises:
        InvalidConfig: it can't be read, isn't TOML, or has a key or value that means nothing.
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
            raise InvalidConfig(f"{path}: unknown key '{name}'", f"known are: {', '.join(types)}")
        if types[name] is float and type(value) is int:
            values[name] = float(value)
        elif type(value) is not types[name]:
            raise InvalidConfig(f"{path}: {name} = {value!r}: a {types[name].__name__} is wanted")
    config = Config(**values)
    if config.on_unavailable not in ("start", "refuse"):
        raise InvalidConfig(f"{path}: on_unavailable = {config.on_unavailable!r}: 'start' or 'refuse' is wanted")
    if not _DEADLINES[0] <= config.deadline <= _DEADLINES[1]:
        raise InvalidConfig(
            f"{path}: deadline = {config.deadline:g}: {_DEADLINES[0]:g} to {_DEADLINES[1]:g} seconds are wanted"
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
                raise InvalidConfig(f"{where}: unix:/PATH, tcp:HOST:PORT or ssl:HOST:PORT is wanted")
            if remote.strip().startswith("ssl:") and not config.database_certificate:
                raise InvalidConfig(
                    f"{where}: there is no certificate to show there", f"set {', '.join(_DATABASE_TLS)}"
                )


def _check_pool(path: Path, text: str) -> None:
    try:
        pool = ipaddress.IPv4Network(text)
    except ValueError as error:
        raise InvalidConfig(f"{path}: isolated_pool = {text!r}: {error}") from error
    if not _POOLS[0] <= pool.prefixlen <= _POOLS[1]:
        raise InvalidConfig(f"{path}: isolated_pool = {text!r}: a /{_POOLS[0]} to /{_POOLS[1]} is wanted")


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
            raise InvalidConfig(f"{path}: {name} = {value!r}: a path from / on is wanted")


def _check_listen(path: Path, config: Config) -> None:
    for name, value in (("listen", config.listen), ("enrolment", config.enrolment)):
        if value:
            _host(path, name, value)
    if config.listen and not config.certificate and not _is_loopback(_host(path, "listen", config.listen)):
        port = config.listen.rpartition(":")[2]
        raise InvalidConfig(
            f"{path}: listen = {config.listen!r}: in the clear only a loopback address is served",
            f"listen on 127.0.0.1:{port}, or set {', '.join(_TLS)} for mutual TLS",
        )
    for remote in filter(None, config.control.split(",")):
        _host(path, "control", remote.strip())


def _check_enrolment(path: Path, config: Config) -> None:
    if config.authority and not config.authority.startswith("/"):
        raise InvalidConfig(f"{path}: authority = {config.authority!r}: a path from / on is wanted")
    if config.enrolment and not (config.authority and config.certificate):
        raise InvalidConfig(
            f"{path}: enrolment = {config.enrolment!r}: there is nothing to let hosts in with",
            f"set authority, {', '.join(_TLS)}: ovnhook node init --control does",
        )
    if config.control and not config.database_certificate:
        raise InvalidConfig(
            f"{path}: control = {config.control!r}: there is no certificate to show there",
            f"set {', '.join(_DATABASE_TLS)}",
        )


def _host(path: Path, name: str, value: str) -> str:
    """The host of what is to be ``HOST:PORT``."""
    host, _, port = value.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if (
        not host
        or (":" in host and not bracketed)
        or not (port.isascii() and port.isdigit() and 0 < int(port) < _PORTS and len(port) <= 5)
    ):
        raise InvalidConfig(f"{path}: {name} = {value!r}: HOST:PORT or [IPV6]:PORT is wanted")
    return host[1:-1] if bracketed else host


def _is_loopback(host: str) -> bool:
    """Whether nobody but this host reaches an address; of names, only one is sure to be that."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
