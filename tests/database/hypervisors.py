"""A northbound database with three subnets, hosts that attach domains to it, and domains."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from uuid import UUID

from netaddr import IPAddress, IPNetwork

from lab.waiting import HANG
from ovnhook.agent.control import AttachResult
from ovnhook.base.config import Config
from ovnhook.base.deadline import Deadline
from ovnhook.databases import inventory
from ovnhook.databases.northbound import Northbound
from ovnhook.diagnosis.differences import compare, domains_without_port
from ovnhook.diagnosis.values import Domains, Running
from ovnhook.domains.inventory import Inventory
from ovnhook.domains.values import Domain, Interface, InterfaceRequest, InterfaceType
from ovnhook.resources.kind import Change, Put
from ovnhook.resources.lease.values import Lease
from ovnhook.resources.port.values import Port
from ovnhook.resources.registry import REGISTRY
from ovnhook.resources.router.kind import NETWORK
from ovnhook.resources.router.values import Network, Router
from ovnhook.resources.state import Registry
from ovnhook.resources.subnet.kind import SUBNET
from ovnhook.resources.subnet.values import Subnet
from tests.database.direct_host import DirectHost
from tests.database.ovsdb_server import Dump, Server

DEFAULT = Subnet("default", IPNetwork("10.0.0.0/24"), IPAddress("10.0.0.1"), default=True)
BLUE = Subnet("blue", IPNetwork("10.1.0.0/24"), IPAddress("10.1.0.1"), "gateway")
TINY = Subnet("tiny", IPNetwork("10.2.0.0/29"), IPAddress("10.2.0.1"))
WEB = UUID("b0b760f6-c243-4921-961b-fb38061dec03")
MAIL = UUID("7d1c2a35-86b4-4f10-b1a4-5f8a3c1be5d2")
IDS = tuple(str(UUID(int=n)) for n in range(1, 4))
"""Interface IDs."""
MACS = tuple(f"52:54:00:00:00:{n:02x}" for n in range(1, 9))


def soon() -> Deadline:
    """A deadline that only a hang exceeds."""
    return Deadline.after(HANG)


def interface(mac: str = MACS[0], subnet: str = "", address: str = "", *, id: str = "", tap: str = "") -> Interface:
    """An interface of ``type='bridge'``."""
    request = InterfaceRequest(subnet, addresses=tuple(map(IPAddress, address.split())))
    return Interface(mac, InterfaceType.BRIDGE, request, interface_id=id, device=tap)


def domain(*interfaces: Interface, uuid: UUID = WEB, name: str = "web1", run: int = 1) -> Domain:
    """A domain with these interfaces and no other; its name is its host name."""
    named = tuple(
        replace(one, request=replace(one.request, hostname=one.request.hostname or name)) for one in interfaces
    )
    return Domain(uuid, name, run, named, tuple(one.mac for one in interfaces))


class Hypervisors:
    """A northbound database with three subnets, and a way to make hosts."""

    def __init__(self, server: Server, make_host: Callable[[str], Server]) -> None:
        self.server = server
        self.northbound = Northbound(server.remote)
        self.vswitches: dict[str, Server] = {}
        self._make_host = make_host
        self.northbound.commit(
            [*(Put(SUBNET, None, one) for one in (DEFAULT, BLUE, TINY)), Put(REGISTRY, None, Registry(1, "default"))],
            soon(),
        )

    def create_router(self) -> None:
        """Create the router of subnet blue, which most tests do without."""
        on_router = replace(BLUE, reachable=())  # the router leads nowhere, so that it is no default route
        router = Put(NETWORK, None, Network(Router("gateway"), (on_router,)))
        self.northbound.commit([Put(SUBNET, BLUE, on_router), router], soon())

    def host(self, name: str) -> DirectHost:
        """Return a host, and create its Open vSwitch database if needed."""
        if name not in self.vswitches:
            self.vswitches[name] = self._make_host(name)
        return DirectHost(Config(northbound=self.server.remote, vswitch=self.vswitches[name].remote))

    @property
    def leases(self) -> list[Lease]:
        """All leases."""
        return self.northbound.leases(soon())

    @property
    def ports(self) -> list[Port]:
        """All ports of ours."""
        return self.northbound.ports(soon())

    @property
    def addresses(self) -> dict[str, str]:
        """The address of every port, by MAC."""
        return {port.mac: " ".join(map(str, port.addresses)) for port in self.ports}

    def exact(self) -> Dump:
        """Every row, with its version."""
        return self.server.dump(versions=True)


class Overtaken(Northbound):
    """A northbound database that another process changes between the first read and the first commit.

    Args:
        remotes: remotes of the database.
        action: the change of the other process.
    """

    def __init__(self, remotes: str, action: Callable[[], object]) -> None:
        super().__init__(remotes)
        self._actions = [action]

    def commit(self, changes: Sequence[Change], deadline: Deadline) -> None:
        """Commit, after the other process's change the first time."""
        while self._actions:
            self._actions.pop()()
        super().commit(changes, deadline)


def attach(host: DirectHost, wanted: Domain) -> AttachResult:
    """Attach a domain that runs."""
    return host.attach(wanted, soon(), running=True)


def differing(world: Hypervisors, host: DirectHost, *running: Domain) -> list[str]:
    """Scan hv1 for differences, if these domains run there and are defined so."""
    found = inventory.read(world.northbound.database, "hv1", soon())
    found = found.updated(
        Inventory(mtus={subnet.name: subnet.mtu for subnet in world.northbound.cloud(soon()).of(Subnet)})
    )
    taps = frozenset(one.device for each in running for one in each.interfaces)
    domains = Domains({one.uuid: Running(one, taps) for one in running}, {one.uuid: one for one in running})
    for one in domains_without_port(found, domains):
        found = found.updated(host.control.inventory(one, "hv1", soon()))
    return [one.what for one in compare("hv1", found, host.vswitch.taps(soon()), domains)]
