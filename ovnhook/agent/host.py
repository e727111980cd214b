"""This host: domains that start, stop and go here, with their ports in OVN and their taps in Open vSwitch.

What the hook and the agent do. Each verb may be repeated, and ends by its deadline.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from uuid import UUID

from netaddr import IPNetwork

from ovnhook.base.config import Config
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import Unavailable
from ovnhook.databases.northbound import Northbound
from ovnhook.databases.southbound import Southbound
from ovnhook.databases.vswitch import Binding, Vswitch
from ovnhook.domains import fitness, plan
from ovnhook.domains.values import Domain, InterfaceType
from ovnhook.engine import underlay
from ovnhook.engine.attach import Attachment
from ovnhook.engine.planner import Attached
from ovnhook.ovsdb import tls
from ovnhook.ovsdb.connection import is_address


class Host:
    """Attaches the domains of this host. Safe to share between threads.

    Every method raises Unavailable when a database did not answer in time.

    Args:
        config: where the databases are.
    """

    def __init__(self, config: Config) -> None:
        tls.configure(config)
        self.northbound = Northbound(config.northbound)
        self.vswitch = Vswitch(config.vswitch, config.integration_bridge)
        pool = IPNetwork(config.isolated_pool)
        carried = partial(underlay.of_cloud, self._told, self.vswitch)
        self.attachment = Attachment(self.northbound, pool, carried)

    def attach(self, domain: Domain, deadline: Deadline, *, running: bool = False) -> Attached:
        """Give every interface of a domain its port and its address, and bind the taps that are known.

        Args:
            domain: as its XML says.
            deadline: when to give up.
            running: as of Attachment.attach; what was plugged for interfaces that are gone is taken away, too.

        Raises:
            InvalidRequest, NotFound, AlreadyExists, Exhausted: the domain asks for something that can't be.
        """
        if not (domain.interfaces or domain.unsupported or running):
            return Attached()
        try:
            host = self.vswitch.chassis(deadline)
            attached = self.attachment.attach(domain, host, deadline, running=running)
        except Unavailable:
            # Nobody can say that it arrives from a host where it runs so. If it does, it stays there.
            if not running:
                fitness.refuse_unsupported(domain)
            raise
        if running:
            self.vswitch.unbind_others(domain.uuid, domain.macs, deadline)
        self.vswitch.bind(list(_bindings(domain, running=running)), deadline)
        if attached.arrives:
            # From the moment that the guest runs here its packets come this way.
            self.vswitch.wait_installed([one.device for one in domain.interfaces if one.device], deadline)
        return attached

    def announce(self, domain: Domain, deadline: Deadline) -> None:
        """Prepare for a domain that is about to migrate here."""
        self.attachment.announce(domain, self.vswitch.chassis(deadline), deadline)

    def arrive(self, uuid: UUID, deadline: Deadline) -> None:
        """Make a domain's ports this host's alone, if it has migrated here."""
        self.attachment.arrive(Domain(uuid, ""), self.vswitch.chassis(deadline), deadline)

    def stay(self, uuid: UUID, deadline: Deadline) -> None:
        """Make a domain's ports this host's alone again, if it does not migrate any more."""
        self.attachment.stay(Domain(uuid, ""), self.vswitch.chassis(deadline), deadline)

    def keep(self, domain: Domain, deadline: Deadline) -> None:
        """Make what a domain holds that does not run fit to its definition: interfaces that are gone, its name."""
        self.attachment.keep(domain, self.vswitch.chassis(deadline), deadline)

    def roll_back(self, domain: Domain, deadline: Deadline) -> None:
        """Take back what this run of a domain was given, because it failed to start."""
        host = self.vswitch.chassis(deadline)
        try:
            self.vswitch.unbind(domain.uuid, deadline.half(deadline.remaining))
        finally:  # the two databases fail on their own
            self.attachment.roll_back(domain, host, deadline)

    def detach(self, domain: Domain, deadline: Deadline) -> None:
        """Take a domain's ports of this host away, or leave them to the other host of a migration; its leases stay."""
        host = self.vswitch.chassis(deadline)
        try:
            self.vswitch.unbind(domain.uuid, deadline)
        finally:  # the two databases fail on their own
            self.attachment.detach(domain, host, deadline)

    def forget(self, uuid: UUID, deadline: Deadline) -> None:
        """Give back all that a domain holds that exists no more, if this host was the last one to attach it."""
        self.attachment.forget(Domain(uuid, ""), self.vswitch.chassis(deadline), deadline)

    def _told(self, deadline: Deadline) -> dict[str, int]:
        """What the agents of all hosts say that their tunnels carry.

        Raises:
            Unavailable: also where Open vSwitch names the database, which could not be asked by the deadline.
        """
        remotes = self.vswitch.host(deadline).southbound
        if not all(map(is_address, remotes.split(","))):
            raise Unavailable(f"external_ids:ovn-remote of Open vSwitch is {remotes!r}, and not addresses with ports")
        southbound = Southbound.of_host(remotes)
        try:
            return southbound.mtus(deadline)
        finally:
            southbound.database.close()


def _bindings(domain: Domain, *, running: bool) -> Iterator[Binding]:
    """The taps that are there. At a start libvirt plugs some of them by itself, into the right port."""
    for interface in domain.interfaces:
        if interface.device:
            libvirts = not running and interface.kind is InterfaceType.BRIDGE and interface.interface_id != ""
            yield Binding(interface.device, plan.port_id(domain, interface), interface.mac, domain.uuid, libvirts)
