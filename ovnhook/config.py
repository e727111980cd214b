"""What ``/etc/ovnhook/ovnhook.toml`` says. Without the file everything has a default that works on one machine."""

from __future__ import annotations

import dataclasses
import ipaddress
import tomllib
from dataclasses import dataclass
from pathlib import Path

from ovnhook.errors import InvalidConfig

PATH = Path("/etc/ovnhook/ovnhook.toml")
AGENT_SOCKET = Path("/run/ovnhook/agent.sock")
CONTROL_SOCKET = Path("/run/ovnhook/control.sock")

_DEADLINES = (4.0, 60.0)
_POOLS = (8, 28)  # prefix lengths


@dataclass(frozen=True)
class Config:
    """The settings of a host.

    Attributes:
        northbound: where the OVN northbound database is: ``unix:/path`` or ``tcp:host:port``, several with commas.
        southbound: where the OVN southbound database is, which the control service reads.
        vswitch: where this host's Open vSwitch database is.
        integration_bridge: interfaces on this bridge are ours.
        isolated_pool: the IPv4 network that domains' own subnets are carved from.
        on_unavailable: what becomes of a domain's start while the database is out of reach: ``start`` it, and heal its
            network later, or ``refuse`` it.
        deadline: seconds that a start may be held up in all, whatever happens.
    """

    northbound: str = "unix:/run/ovn/ovnnb_db.sock"
    southbound: str = "unix:/run/ovn/ovnsb_db.sock"
    vswitch: str = "unix:/run/openvswitch/db.sock"
    integration_bridge: str = "br-int"
    isolated_pool: str = "10.224.0.0/12"
    on_unavailable: str = "start"
    deadline: float = 5.0

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
    for name in ("northbound", "southbound", "vswitch"):
        for remote in getattr(config, name).split(","):
            if not remote.strip().startswith(("unix:/", "tcp:", "ssl:")):
                raise InvalidConfig(
                    f"{path}: {name} = {remote!r}: unix:/PATH, tcp:HOST:PORT or ssl:HOST:PORT is wanted"
                )
    return config


def _check_pool(path: Path, text: str) -> None:
    try:
        pool = ipaddress.IPv4Network(text)
    except ValueError as error:
        raise InvalidConfig(f"{path}: isolated_pool = {text!r}: {error}") from error
    if not _POOLS[0] <= pool.prefixlen <= _POOLS[1]:
        raise InvalidConfig(f"{path}: isolated_pool = {text!r}: a /{_POOLS[0]} to /{_POOLS[1]} is wanted")
