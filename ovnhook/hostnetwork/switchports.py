"""Internal ports of the integration bridge (ovs-vswitchd.conf.db(5)): interfaces of this host in logical switches."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ovnhook.base import command
from ovnhook.base.deadline import Deadline

_MARK = "ovnhook:resolver"  # key in external_ids of those that are ours
_HINT = "systemctl status ovs-vswitchd"


@dataclass(frozen=True)
class SwitchPort:
    """An internal port.

    Attributes:
        device: name of its interface.
        iface_id: name of the logical switch port.
        mac: MAC address of its interface.
    """

    device: str
    iface_id: str
    mac: str


class SwitchPorts:
    """Internal ports for DNS servers. Each method waits until Open vSwitch has applied the change.

    Args:
        remote: of the Open vSwitch database.
        bridge: the integration bridge.
    """

    def __init__(self, remote: str, bridge: str) -> None:
        self._remote = remote
        self._bridge = bridge

    def list(self, deadline: Deadline) -> frozenset[SwitchPort]:
        """All of them."""
        output = self._run(
            *("--format=json", "--columns=name,external_ids"),
            *("find", "Interface", f'external_ids:{_quoted(_MARK)}!=""'),
            deadline=deadline,
        )
        return parse_ports(output)

    def add(self, port: SwitchPort, deadline: Deadline) -> None:
        """Add a port, or change one."""
        ids = {"iface-id": port.iface_id, "attached-mac": port.mac, "iface-status": "active", _MARK: "yes"}
        self._run(
            *("--may-exist", "add-port", self._bridge, port.device),
            # Removed at boot, when its namespace is gone.
            *("--", "set", "Port", port.device, "other_config:transient=true"),
            # The MAC address is set in the namespace: Open vSwitch can't reach the interface there, but would try to.
            *("--", "set", "Interface", port.device, "type=internal"),
            *(f"external_ids:{_quoted(key)}={_quoted(value)}" for key, value in ids.items()),
            deadline=deadline,
        )

    def remove(self, device: str, deadline: Deadline) -> None:
        """Remove a port, if it exists."""
        self._run("--if-exists", "del-port", self._bridge, device, deadline=deadline)

    def _run(self, *arguments: str, deadline: Deadline) -> str:
        timeout = max(1, int(deadline.remaining))
        return command.run("ovs-vsctl", f"--db={self._remote}", f"--timeout={timeout}", *arguments, hint=_HINT)


def parse_ports(output: str) -> frozenset[SwitchPort]:
    """Parse the output of ``ovs-vsctl --format=json --columns=name,external_ids find Interface``."""
    rows: list[tuple[str, tuple[str, Any]]] = json.loads(output or '{"data": []}')["data"]
    return frozenset(_port(name, dict(ids)) for name, (_, ids) in rows)


def _port(device: str, ids: Mapping[str, str]) -> SwitchPort:
    return SwitchPort(device, ids.get("iface-id", ""), ids.get("attached-mac", ""))


def _quoted(value: str) -> str:
    """A string as ovs-vsctl(8) reads it, whatever it contains."""
    return json.dumps(value)
