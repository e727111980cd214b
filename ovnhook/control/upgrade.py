"""Moves rows that earlier versions wrote over to what this one writes, while guests run; several services may do so."""

from __future__ import annotations

import logging
from uuid import uuid4

from ovnhook.base.deadline import Deadline
from ovnhook.databases.northbound import Northbound
from ovnhook.resources.kinds import complete
from ovnhook.resources.router import rules as router_rules
from ovnhook.resources.state import Cloud

_log = logging.getLogger(__name__)


def carry_out(northbound: Northbound, cloud: Cloud, deadline: Deadline) -> None:
    """Move over what there is to be moved, in one transaction; most often nothing.

    Args:
        northbound: where the rows are.
        cloud: what there is.
        deadline: when to give up.

    Raises:
        Conflict: the cloud has changed meanwhile: read it again.
    """
    if changes := router_rules.derive_external_macs(uuid4(), cloud):
        northbound.commit(complete(changes, cloud), deadline)
        _log.info("external gateways have MAC addresses of this cloud's own now")
