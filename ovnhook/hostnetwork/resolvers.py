"""All DNS servers of this host: one for each name scope, and the relay that they send other queries to."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from netaddr import IPNetwork

from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import Exhausted
from ovnhook.hostnetwork.dnsconfig import relay_configuration
from ovnhook.hostnetwork.dnsprocess import DnsProcess, dns_user
from ovnhook.hostnetwork.namescope import UPSTREAM_PREFIX, NameScope
from ovnhook.hostnetwork.netns import HOST
from ovnhook.hostnetwork.resolverfilter import LINKS, host_rules, no_rules
from ovnhook.hostnetwork.scopeserver import ScopeServer
from ovnhook.hostnetwork.switchports import SwitchPorts

FOLDER = Path("/run/ovnhook/dns")

_RESOLV_CONF = Path("/etc/resolv.conf")
_RELAY = "relay"  # its folder: no identifier of a scope


class Resolvers:
    """The DNS servers. Not safe to share between threads.

    Args:
        ports: the integration bridge.
        folder: of their files.
    """

    def __init__(self, ports: SwitchPorts, folder: Path = FOLDER) -> None:
        self._ports = ports
        self._folder = folder
        self._relay = DnsProcess(folder / _RELAY)
        self._servers: dict[str, ScopeServer] = {}

    def has_relay(self) -> bool:
        """Check whether the relay runs as wanted, without a command."""
        return self._relay.runs_with(self._relay_text())

    def is_intact(self, scope: NameScope) -> bool:
        """Check for obvious damage of a scope's server, without a command."""
        return self._server(scope).is_intact(scope)

    def write_names(self, scope: NameScope, files: Mapping[str, str], deadline: Deadline) -> None:
        """Change the host names of a scope: see `namescope.host_files`. Its server notices."""
        self._server(scope).write_names(files, deadline)

    def converge(self, scope: NameScope, files: Mapping[str, str], deadline: Deadline) -> None:
        """Make a scope's server, and the relay, as wanted."""
        self._converge_relay(deadline)
        server = self._server(scope)
        server.forget_names()
        server.write_names(files, deadline)
        server.converge(scope, _upstream(scope, deadline), deadline)

    def tidy(self, scopes: Collection[NameScope], deadline: Deadline) -> None:
        """Remove what belongs to none of the scopes; without scopes also the relay."""
        devices = {interface.device for scope in scopes for interface in scope.interfaces}
        for port in self._ports.list(deadline):
            if port.device not in devices:
                self._ports.remove(port.device, deadline)
        ids = {scope.id for scope in scopes}
        present = {path.name for path in self._folder.iterdir()} if self._folder.exists() else set()
        for id in (present | self._servers.keys()) - ids - {_RELAY}:
            server = self._servers.pop(id, None) or ScopeServer(self._folder / id, self._ports)
            server.remove(f"{UPSTREAM_PREFIX}{id}", deadline)
        if not scopes and _RELAY in present:
            self._relay.remove(deadline)
            HOST.run("nft", "-f", "-", stdin=no_rules(), deadline=deadline)

    def _server(self, scope: NameScope) -> ScopeServer:
        if scope.id not in self._servers:
            self._servers[scope.id] = ScopeServer(self._folder / scope.id, self._ports)
        return self._servers[scope.id]

    def _converge_relay(self, deadline: Deadline) -> None:
        HOST.run("nft", "-f", "-", stdin=host_rules(), deadline=deadline)
        if not self.has_relay():
            self._relay.start(self._relay_text(), HOST, deadline)

    def _relay_text(self) -> str:
        source = _RESOLV_CONF.resolve()
        return relay_configuration(source if source.parent.exists() else None, self._relay.pid_file, dns_user())


def _upstream(scope: NameScope, deadline: Deadline) -> IPNetwork:
    """Network between the host and the namespace of a scope: that of the host's interface, or an unused one."""
    links = HOST.links(deadline)
    if scope.upstream_device in links:
        for address in links[scope.upstream_device].addresses:
            if address in LINKS:
                return address.cidr
    used = [address for link in links.values() for address in link.addresses if address.version == LINKS.version]
    for network in LINKS.subnet(31):
        if not any(address in network or network in address for address in used):
            return network
    raise Exhausted(f"no unused network in {LINKS}")
