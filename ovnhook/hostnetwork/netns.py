"""Network namespaces without names (network_namespaces(7)).

A name (ip-netns(8)) is a mount: made in the mount namespace of a service it would be lost at the service's restart.
Here a namespace lives as long as a process in it, or this process, which keeps it open.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netaddr import IPNetwork

from ovnhook.base import command
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import OvnhookError, Unavailable

_POLL_INTERVAL = 0.005  # seconds


@dataclass(frozen=True)
class DeviceState:
    """State of a network interface.

    Attributes:
        is_up: it is administratively up.
        mac: its MAC address; "": any, in a wanted state.
        mtu: in bytes.
        addresses: its addresses, with prefix lengths.
    """

    is_up: bool
    mac: str
    mtu: int
    addresses: frozenset[IPNetwork]


class NetworkNamespace:
    """A network namespace, open until `close`.

    Args:
        handle: file descriptor of the namespace; None for that of this process.
    """

    def __init__(self, handle: int | None = None) -> None:
        self._handle = handle

    @classmethod
    def create(cls, deadline: Deadline) -> NetworkNamespace:
        """Create a namespace.

        Raises:
            OvnhookError: not permitted.
            Unavailable: it took too long.
        """
        with subprocess.Popen(
            ("unshare", "--net", "--", "sleep", "infinity"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as child:
            try:
                while HOST.has(child.pid):
                    deadline.check("creation of a network namespace")
                    if child.poll() is not None:
                        raise OvnhookError("cannot create a network namespace", "unshare --net -- true")
                    time.sleep(_POLL_INTERVAL)
                return cls.of_process(child.pid)
            finally:
                child.kill()

    @classmethod
    def of_process(cls, pid: int) -> NetworkNamespace:
        """Open the namespace of a process.

        Raises:
            OSError: there is no such process.
        """
        return cls(os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC))

    @property
    def path(self) -> str:
        """Path of the namespace, for commands."""
        return f"/proc/{os.getpid()}/{'ns/net' if self._handle is None else f'fd/{self._handle}'}"

    def has(self, pid: int) -> bool:
        """Check whether a process is in this namespace."""
        try:
            return Path(self.path).samefile(f"/proc/{pid}/ns/net")
        except OSError:
            return False

    def run(self, *argv: str, deadline: Deadline, stdin: str = "", hint: str = "") -> str:
        """Run a command in the namespace: see `command.run`."""
        prefix = () if self._handle is None else ("nsenter", f"--net={self.path}", "--")
        return command.run(*prefix, *argv, stdin=stdin, timeout=deadline.remaining, hint=hint)

    def links(self, deadline: Deadline) -> dict[str, DeviceState]:
        """Network interfaces, by name."""
        return parse_links(self.run("ip", "-json", "address", "show", deadline=deadline))

    def configure(
        self, device: str, wanted: DeviceState, deadline: Deadline, present: DeviceState | None = None
    ) -> None:
        """Give an interface its wanted state.

        Args:
            device: name of the interface.
            wanted: its state afterwards.
            deadline: for all of it.
            present: its state, if it is known.

        Raises:
            Unavailable: there is no such interface.
        """
        present = present or self.links(deadline).get(device)
        if present is None:
            raise Unavailable(f"interface {device} does not exist", "systemctl status ovs-vswitchd")
        if batch := changes(device, present, wanted):
            self.run("ip", "-batch", "-", stdin=batch, deadline=deadline)

    def close(self) -> None:
        """Close the namespace. It ends with its last process."""
        if self._handle is not None:
            os.close(self._handle)


HOST = NetworkNamespace()
"""The host's own namespace."""


def parse_links(output: str) -> dict[str, DeviceState]:
    """Parse the output of ``ip -json address show``."""
    return {row["ifname"]: _link(row) for row in json.loads(output or "[]") if row}


def _link(row: Mapping[str, Any]) -> DeviceState:
    """State of one interface."""
    found: list[dict[str, Any]] = row.get("addr_info", [])
    addresses = frozenset(IPNetwork(f"{one['local']}/{one['prefixlen']}") for one in found if "local" in one)
    return DeviceState("UP" in row.get("flags", ()), row.get("address", ""), int(row["mtu"]), addresses)


def changes(device: str, present: DeviceState, wanted: DeviceState) -> str:
    """Commands for ``ip -batch -`` that give an interface its wanted state; "" if it has it."""
    lines = [f"address delete {one} dev {device}" for one in sorted(present.addresses - wanted.addresses)]
    if (present.mac, present.mtu) != (wanted.mac or present.mac, wanted.mtu):
        mac = f" address {wanted.mac}" if wanted.mac else ""
        lines.append(f"link set dev {device} down{mac} mtu {wanted.mtu}")
        present = DeviceState(is_up=False, mac=wanted.mac, mtu=wanted.mtu, addresses=frozenset())
    if not present.is_up:
        lines.append(f"link set dev {device} addrgenmode none")
        lines.append(f"link set dev {device} up")
    for one in sorted(wanted.addresses - present.addresses):
        # Nobody else can have it: OVN's logical switch port has it.
        lines.append(f"address replace {one} dev {device}{' nodad' if one.version == 6 else ''}")
    return "".join(f"{line}\n" for line in lines)


def device_names(pid: int) -> set[str]:
    """Names of the network interfaces in the namespace of a process; none if there is no such process."""
    try:
        lines = Path(f"/proc/{pid}/net/dev").read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()
    return {line.partition(":")[0].strip() for line in lines[2:]}
