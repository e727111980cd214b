"""Conversion of rows of earlier versions, while guests run. Several control services may do it concurrently."""

from __future__ import annotations

import logging
from uuid import uuid4

from ovnhook.base.deadline import Deadline
from ovnhook.databases.northbound import Northbound
from ovnhook.resources.kinds import complete
from ovnhook.resources.router import rules as router_rules
from ovnhook.resources.state import Cloud

_log = logging.getLogger(__name__)


def convert(northbound: Northbound, cloud: Cloud, deadline: Deadline) -> None:
    """Convert rows of earlier versions, if there are any, in one transaction.

    Args:
        northbound: northbound database.
        cloud: current state of the cloud.
        deadline: when to give up.

    Raises:
        Conflict: the cloud has changed since it was read.
    """
    if changes := router_rules.derive_external_macs(uuid4(), cloud):
        northbound.commit(complete(changes, cloud), deadline)
        _log.info("external gateway ports have MAC addresses that are unique to this cloud now")
