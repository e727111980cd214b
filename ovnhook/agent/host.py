"""Operations on domains of this host: their ports in OVN and their taps in Open vSwitch.

Used by hook and agent. Each method is idempotent, and ends by its deadline.
"""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from ovnhook.agent.control import AttachResult, ControlService
from ovnhook.api.calls import ApiCalls, Calls
from ovnhook.base.config import Config
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import Unavailable
from ovnhook.databases.vswitch import Binding, Vswitch
from ovnhook.domains.values import Domain, InterfaceType
from ovnhook.ovsdb import tls


class Host:
    """Attaches and detaches the domains of this host. Safe to share between threads.

    Every method raises Unavailable if the control service or Open vSwitch does not answer in time.

    Args:
        config: addresses of both.
        calls: calls of the control service; None for those of the configuration.
    """

    def __init__(self, config: Config, calls: ApiCalls | None = None) -> None:
        tls.configure(config)
        self.vswitch = Vswitch(config.vswitch, config.integration_bridge)
        self.control = ControlService(calls or Calls.of_host(config))

    def attach(self, domain: Domain, deadline: Deadline, *, running: bool = False) -> AttachResult:
        """Create ports and leases of all interfaces of a domain, and bind its taps.

        Args:
            domain: as in its XML.
            deadline: for the whole operation.
            running: False for a domain that is about to start. Of one that runs, an invalid interface does not block
                the others, and taps of removed interfaces are unbound, too.

        Raises:
            InvalidRequest, NotFound, AlreadyExists, Exhausted: the domain's request can't be fulfilled.
        """
        if not (domain.interfaces or domain.unsupported or running):
            return AttachResult()
        try:
            host = self.vswitch.chassis(deadline)
            attached = self.control.attach(domain, host, deadline, running=running)
        except Unavailable:
            # It may be an incoming migration, where unsupported settings are accepted; refused, it stays at its source.
            if not running:
                domain.refuse_unsupported()
            raise
        if running:
            self.vswitch.unbind_others(domain.uuid, domain.macs, deadline)
        self.vswitch.bind(list(_bindings(domain, running=running)), deadline)
        if attached.arrives:
            # The flows have to be installed before the guest runs here.
            self.vswitch.wait_installed([one.device for one in domain.interfaces if one.device], deadline)
        return attached

    def announce(self, domain: Domain, deadline: Deadline) -> None:
        """Prepare an incoming migration."""
        self.control.announce(domain, self.vswitch.chassis(deadline), deadline)

    def confirm_migration(self, uuid: UUID, destination: str, deadline: Deadline) -> None:
        """Allow the destination of an outgoing migration, which has requested it, to bind the domain's ports, too."""
        self.control.confirm_migration(uuid, self.vswitch.chassis(deadline), destination, deadline)

    def finish_migration(self, uuid: UUID, deadline: Deadline) -> None:
        """Finish an incoming migration, if there is one: bind the domain's ports to this host only."""
        self.control.finish_migration(Domain(uuid, ""), self.vswitch.chassis(deadline), deadline)

    def cancel_migration(self, uuid: UUID, deadline: Deadline) -> None:
        """Roll back a cancelled outgoing migration: bind the domain's ports to this host only."""
        self.control.cancel_migration(Domain(uuid, ""), self.vswitch.chassis(deadline), deadline)

    def update_leases(self, domain: Domain, deadline: Deadline) -> None:
        """Update the leases of a stopped domain to its definition: removed interfaces, a new name."""
        self.control.update_leases(domain, self.vswitch.chassis(deadline), deadline)

    def roll_back(self, domain: Domain, deadline: Deadline) -> None:
        """Roll back a failed start: remove the ports and leases that it created."""
        host = self.vswitch.chassis(deadline)
        try:
            self.vswitch.unbind(domain.uuid, deadline.half(deadline.remaining))
        finally:  # also if Open vSwitch fails
            self.control.roll_back(domain, host, deadline)

    def detach(self, domain: Domain, deadline: Deadline) -> None:
        """Remove a domain's ports from this host, or leave them to the other host of a migration. Keeps its leases."""
        host = self.vswitch.chassis(deadline)
        try:
            self.vswitch.unbind(domain.uuid, deadline)
        finally:  # also if Open vSwitch fails
            self.control.detach(domain, host, deadline)

    def release_leases(self, uuid: UUID, deadline: Deadline) -> None:
        """Release all leases of a domain that does not exist any more, if this host was the last one to attach it."""
        self.control.release_leases(Domain(uuid, ""), self.vswitch.chassis(deadline), deadline)


def _bindings(domain: Domain, *, running: bool) -> Iterator[Binding]:
    """Bindings of existing taps. At a start libvirt itself plugs some of them, with the right iface-id."""
    for interface in domain.interfaces:
        if interface.device:
            libvirts = not running and interface.kind is InterfaceType.BRIDGE and interface.interface_id != ""
            yield Binding(interface.device, domain.port_id(interface), interface.mac, domain.uuid, libvirts)
