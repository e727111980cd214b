"""The DNS server of one name scope on this host, with its network namespace: compared with the wanted state, repaired.

What exists is observed in the kernel, in Open vSwitch and in /run, not remembered: so it does not matter whether this
process, an earlier one or somebody else changed it last.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path

from netaddr import IPAddress, IPNetwork

from ovnhook.base.deadline import Deadline
from ovnhook.hostnetwork import netns
from ovnhook.hostnetwork.dnsconfig import scope_configuration
from ovnhook.hostnetwork.dnsprocess import DnsProcess, dns_user
from ovnhook.hostnetwork.namescope import NameScope
from ovnhook.hostnetwork.netns import HOST, DeviceState, NetworkNamespace
from ovnhook.hostnetwork.resolverfilter import UPSTREAM, namespace_rules
from ovnhook.hostnetwork.switchports import SwitchPort, SwitchPorts

_UPSTREAM_MTU = 1500
_MANY = 1000  # changed files at once: the kernel may drop notifications of so many


class ScopeServer:
    """The server of a scope.

    Args:
        folder: of its files.
        ports: the integration bridge.
    """

    def __init__(self, folder: Path, ports: SwitchPorts) -> None:
        self._folder = folder
        self._names = folder / "names"
        self._ports = ports
        self._process = DnsProcess(folder)
        self._namespace: NetworkNamespace | None = None
        self._files: dict[str, str] = {}
        self._written = 0  # modification time of the folder when it had these files, or 0

    def is_intact(self, scope: NameScope) -> bool:
        """Check for obvious damage, without a command: interfaces, server and files are there."""
        pid = self._process.pid()
        devices = {one.device for one in scope.interfaces}
        return (
            bool(pid)
            and {UPSTREAM, *devices} <= netns.device_names(pid)
            and not devices & {name for _, name in socket.if_nameindex()}
            and self._written == _modified(self._names)
        )

    def write_names(self, files: Mapping[str, str], deadline: Deadline) -> None:
        """Write the changed files of names, and remove those of names that are gone. The server notices.

        Args:
            files: content by name.
            deadline: for all of it.
        """
        if not self._names.exists():
            self._process.stop(deadline)  # it would not watch another folder
            self._names.mkdir(parents=True)
            self._names.chmod(0o755)
        is_known = self._written and self._written == _modified(self._names)
        present = self._files if is_known else {path.name: _read(path) for path in self._names.iterdir()}
        changed = [name for name, text in files.items() if present.get(name) != text]
        for name in changed:
            new = self._names / f".{name}"  # ignored by the server
            new.write_text(files[name], encoding="ascii")
            new.chmod(0o644)
            new.replace(self._names / name)
        gone = present.keys() - files.keys()
        for name in gone:
            (self._names / name).unlink(missing_ok=True)
        self._files, self._written = dict(files), _modified(self._names)
        if len(changed) + len(gone) > _MANY:
            self._process.reload()

    def forget_names(self) -> None:
        """Read all files of names when they are written next: somebody else may have changed one."""
        self._written = 0

    def converge(self, scope: NameScope, upstream: IPNetwork, deadline: Deadline) -> None:
        """Make interfaces, packet filter and server as wanted. The names are written before.

        Args:
            scope: wanted state.
            upstream: network of two addresses: that of the relay and that of the server's interface to it.
            deadline: for all of it.
        """
        namespace = self._opened(deadline)
        relay = IPAddress(upstream.first, upstream.version)
        namespace.run("nft", "-f", "-", stdin=namespace_rules(scope, relay), deadline=deadline)
        self._connect_upstream(scope.upstream_device, upstream, namespace, deadline)
        self._connect_subnets(scope, namespace, deadline)
        text = scope_configuration(scope, self._names, self._process.pid_file, relay, dns_user())
        if not (self._process.runs_with(text) and namespace.has(self._process.pid())):
            self._process.start(text, namespace, deadline)

    def remove(self, device: str, deadline: Deadline) -> None:
        """Remove the server, its namespace and its files.

        Args:
            device: the host's interface to the namespace.
            deadline: for all of it.
        """
        self._process.remove(deadline)
        if device in HOST.links(deadline):
            HOST.run("ip", "link", "delete", device, deadline=deadline)
        self._close()

    def _opened(self, deadline: Deadline) -> NetworkNamespace:
        """The namespace: that of the server if it runs, else the one that was opened last, else a new one."""
        pid = self._process.pid()
        if self._namespace and (not pid or self._namespace.has(pid)):
            return self._namespace
        self._close()
        try:
            self._namespace = NetworkNamespace.of_process(pid)
        except OSError:  # there is no server
            self._namespace = NetworkNamespace.create(deadline)
        return self._namespace

    def _close(self) -> None:
        if self._namespace:
            self._namespace.close()
            self._namespace = None

    def _connect_upstream(
        self, device: str, upstream: IPNetwork, namespace: NetworkNamespace, deadline: Deadline
    ) -> None:
        """Connect the namespace to the host by a pair of interfaces (veth(4))."""
        outside, inside = (device in HOST.links(deadline)), (UPSTREAM in namespace.links(deadline))
        if not (outside and inside):
            if outside:
                HOST.run("ip", "link", "delete", device, deadline=deadline)
            if inside:
                namespace.run("ip", "link", "delete", UPSTREAM, deadline=deadline)
            peer = ("peer", "name", UPSTREAM, "netns", namespace.path)
            HOST.run("ip", "link", "add", device, "type", "veth", *peer, deadline=deadline)
        relay, own = (frozenset({IPNetwork(f"{address}/{upstream.prefixlen}")}) for address in upstream)
        HOST.configure(device, DeviceState(True, "", _UPSTREAM_MTU, relay), deadline)
        namespace.configure(UPSTREAM, DeviceState(True, "", _UPSTREAM_MTU, own), deadline)

    def _connect_subnets(self, scope: NameScope, namespace: NetworkNamespace, deadline: Deadline) -> None:
        """Connect the namespace to its subnets by ports of the integration bridge."""
        plugged = self._ports.list(deadline)
        inside, outside = namespace.links(deadline), HOST.links(deadline)
        for one in scope.interfaces:
            wanted = SwitchPort(one.device, one.port, one.mac)
            is_inside, is_outside = one.device in inside, one.device in outside
            if is_inside and is_outside:  # left from the time before Open vSwitch was restarted
                namespace.run("ip", "link", "delete", one.device, deadline=deadline)
                is_inside = False
            is_lost = not (is_inside or is_outside) and one.device in {port.device for port in plugged}
            if is_lost:  # with another namespace
                self._ports.remove(one.device, deadline)
            if is_lost or wanted not in plugged:
                self._ports.add(wanted, deadline)
            if not is_inside:
                HOST.run("ip", "link", "set", "dev", one.device, "netns", namespace.path, deadline=deadline)
            present = inside.get(one.device) if is_inside else None
            state = DeviceState(True, one.mac, one.mtu, frozenset(one.addresses))
            namespace.configure(one.device, state, deadline, present)


def _modified(folder: Path) -> int:
    """Time of the last change of a folder's entries in nanoseconds, or 0 without it."""
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0


def _read(path: Path) -> str:
    """Content of a file, or "" if it can't be read."""
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""
