"""Refusal of subnets that gateway hosts can't have a route to."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import Unavailable
from ovnhook.databases.southbound import Southbound
from ovnhook.diagnosis import hostnetworks
from ovnhook.resources.kind import Change

_log = logging.getLogger(__name__)

_TIMEOUT = 2.0  # seconds for the reports of hosts, without which a subnet can be created too


def refuse_host_networks(planned: Sequence[Change], southbound: Southbound, deadline: Deadline) -> None:
    """Refuse planned subnets that overlap with a network of a host that gets a route to them.

    Without the southbound database they are not refused: the host then keeps its network, and reports the problem.

    Raises:
        FailedPrecondition: one does.
    """
    if found := hostnetworks.routed(planned):
        try:
            nodes = southbound.nodes(deadline.half(_TIMEOUT))
        except Unavailable as error:
            _log.warning("cannot read the networks of gateway hosts: %s", error)
            return
        hostnetworks.refuse(found, nodes)
