"""A domain's own subnet: made with its first start, and ended with the last that the domain has there."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from netaddr import IPNetwork

from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import OvnhookError
from ovnhook.databases.northbound import Northbound
from ovnhook.domains.values import Domain
from ovnhook.resources.kind import Change, puts
from ovnhook.resources.kinds import complete
from ovnhook.resources.lease.kind import LEASE
from ovnhook.resources.port.kind import PORT
from ovnhook.resources.state import Observed
from ovnhook.resources.subnet import rules as subnets
from ovnhook.resources.subnet.request import SubnetRequest, Underlay, parse
from ovnhook.resources.subnet.values import isolated_subnet


class OwnSubnets:
    """Plans what makes and ends domains' own subnets.

    Args:
        northbound: where they are.
        pool: the network that they are carved from.
        carried: tells the underlay, by a deadline.
    """

    def __init__(self, northbound: Northbound, pool: IPNetwork, carried: Callable[[Deadline], Underlay]) -> None:
        self._northbound = northbound
        self._pool = pool
        self._carried = carried

    def begin(self, domain: Domain, observed: Observed, deadline: Deadline) -> tuple[tuple[Change, ...], Observed]:
        """Plan what makes it, where an interface asks for it and it is not there; return also what is observed then."""
        name = isolated_subnet(domain.uuid)
        asking = [interface.mac for interface in domain.interfaces if interface.request.isolated]
        if not asking or name in observed.subnets or name in observed.missing_switches:
            return (), observed
        cloud = self._northbound.cloud(deadline)
        if there := cloud.subnet(name):  # made since, by another call for this domain
            return (), observed.having(subnets={**observed.subnets, name: there})
        carried = self._carried(deadline)
        foreign = self._northbound.is_foreign_switch(name, deadline)
        try:
            wanted = SubnetRequest(name, str(subnets.allocate_network(self._pool, cloud)), isolated=True)
            changes = complete(subnets.create(wanted, carried, cloud, name_is_foreign=foreign), cloud)
        except OvnhookError as error:
            raise error.within(f"domain {domain.name}: interface {asking[0]}") from error
        return changes, observed.having(subnets={**observed.subnets, name: parse(wanted, carried)})

    def end(self, domain: Domain, before: Sequence[Change], deadline: Deadline) -> tuple[Change, ...]:
        """Plan what takes it away, if `before` leaves nothing in it."""
        name = isolated_subnet(domain.uuid)
        if not self._northbound.observe(domain.uuid, (), [name], deadline).subnets:
            return ()
        dropped = {put.old.uuid for put in puts(LEASE, before) if put.old and put.new is None}
        removed = {put.old.id for put in puts(PORT, before) if put.old and put.new is None}
        used = self._northbound.lease_uuids(name, deadline) - dropped
        if used or {*self._northbound.port_names(name, deadline)} - removed:
            return ()
        cloud = self._northbound.cloud(deadline)
        return complete(subnets.delete(subnets.find(name, cloud), cloud, (), ()), cloud)
