"""Isolated subnets of domains (``isolated="yes"``): created with the first start, deleted with the last lease."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from netaddr import IPNetwork

from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import OvnhookError
from ovnhook.databases.northbound import Northbound
from ovnhook.domains.values import Domain
from ovnhook.resources.kind import Change, Put, deleted, puts
from ovnhook.resources.kinds import SHARED, complete
from ovnhook.resources.lease.kind import LEASE
from ovnhook.resources.port.kind import PORT
from ovnhook.resources.state import Observed
from ovnhook.resources.subnet import rules as subnets
from ovnhook.resources.subnet.kind import SUBNET
from ovnhook.resources.subnet.request import SubnetRequest, Underlay
from ovnhook.resources.subnet.values import isolated_subnet
from ovnhook.resources.virtual_address.kind import VIRTUAL_ADDRESS, VIRTUAL_PORT


class OwnSubnets:
    """Plans the creation and deletion of domains' isolated subnets.

    Args:
        northbound: northbound database.
        pool: network from which they are allocated.
        measure_underlay: measures the underlay's MTU.
    """

    def __init__(
        self, northbound: Northbound, pool: IPNetwork, measure_underlay: Callable[[Deadline], Underlay]
    ) -> None:
        self._northbound = northbound
        self._pool = pool
        self._measure_underlay = measure_underlay

    def create_missing(
        self, domain: Domain, observed: Observed, deadline: Deadline
    ) -> tuple[tuple[Change, ...], Observed]:
        """Plan the creation of the subnet if an interface requests it; return also the state after that."""
        name = isolated_subnet(domain.uuid)
        requested_by = [interface.mac for interface in domain.interfaces if interface.request.isolated]
        if not requested_by or name in observed.subnets or name in observed.missing_switches:
            return (), observed
        cloud = self._northbound.cloud(deadline)
        if existing := cloud.subnet(name):  # created since by another call for this domain
            return (), observed.having(subnets={**observed.subnets, name: existing})
        underlay = self._measure_underlay(deadline)
        foreign = self._northbound.is_foreign_switch(name, deadline)
        try:
            wanted = SubnetRequest(name, str(subnets.allocate_network(self._pool, cloud)), isolated=True)
            changes = complete(subnets.create(wanted, underlay, cloud, name_is_foreign=foreign), cloud)
        except OvnhookError as error:
            raise error.within(f"domain {domain.name}: interface {requested_by[0]}") from error
        created = {put.new.name: put.new for put in puts(SUBNET, changes) if put.new}
        return changes, observed.having(subnets={**observed.subnets, **created})

    def delete_empty(self, domain: Domain, before: Sequence[Change], deadline: Deadline) -> tuple[Change, ...]:
        """Plan the deletion of the subnet if the changes `before` leave no lease and no port in it."""
        name = isolated_subnet(domain.uuid)
        if not self._northbound.observe(domain.uuid, (), [name], deadline).subnets:
            return ()
        dropped = {
            *(one.uuid for one in deleted(LEASE, before)),
            *(one.uuid for one in deleted(VIRTUAL_ADDRESS, before)),
        }
        removed = {*(port.id for port in deleted(PORT, before)), *(port.name for port in deleted(VIRTUAL_PORT, before))}
        used = self._northbound.lease_uuids(deadline, subnet=name) - dropped
        if used or {*self._northbound.port_names(name, deadline)} - removed:
            return ()
        cloud = self._northbound.cloud(deadline)
        # What belongs to a lease is deleted with it, and must not keep the subnet: no lease is left.
        leased = [
            Put(kind, one, None)
            for kind in SHARED
            for one in cloud.of(kind.type)
            if (place := kind.lease(one)) and place[0] == name
        ]
        return complete((*subnets.delete(subnets.find(name, cloud), cloud, (), ()), *leased), cloud)
