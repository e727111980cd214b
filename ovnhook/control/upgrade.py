"""Moves rows that earlier versions wrote over to what this one writes, while guests run; several services may do so."""

from __future__ import annotations

import logging
from uuid import uuid4

from ovnhook.base.deadline import Deadline
from ovnhook.databases.northbound import Northbound
from ovnhook.resources.changes import RenewIsolation
from ovnhook.resources.router import rules as router_rules
from ovnhook.resources.state import Cloud

_log = logging.getLogger(__name__)


def carry_out(northbound: Northbound, cloud: Cloud, deadline: Deadline) -> None:
    """Move over what there is to be moved, one transaction for each router; most often nothing.

    Args:
        northbound: where the rows are.
        cloud: what there is.
        deadline: when to give up.

    Raises:
        Conflict: the cloud has changed meanwhile: read it again.
    """
    if changes := router_rules.own_macs(uuid4(), cloud):
        northbound.commit(changes, deadline)
        _log.info("external gateways have MAC addresses of this cloud's own now")
        return  # the cloud has to be read again
    if not any(subnet.isolated for subnet in cloud.subnets):
        return
    for name, subnets in northbound.outdated_isolation(deadline).items():
        if network := cloud.network(name):
            present = northbound.isolation(name, deadline)
            northbound.commit([cloud.count(), RenewIsolation(network, subnets, present)], deadline)
            _log.info("router %s: %d isolated subnets have policies of this version now", name, len(subnets))
            return
