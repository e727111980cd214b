"""A subnet, the underlay that it is made for, and refusals of changes of it."""

from __future__ import annotations

from typing import Any

import pytest
from netaddr import IPAddress, IPNetwork

from ovnhook.base.errors import OvnhookError
from ovnhook.resources.subnet.request import Underlay
from ovnhook.resources.subnet.values import Subnet

KNOWN = Underlay(1442, known=True)
BLUE = Subnet(
    "blue",
    IPNetwork("10.1.0.0/24"),
    IPAddress("10.1.0.1"),
    "gateway",
    default=True,
    resolvers=(IPAddress("10.1.0.2"),),
    records_until=0,
)


def refused(kind: type[OvnhookError], action: Any, *arguments: Any, **more: Any) -> tuple[str, str]:
    """The message and the hint of a refusal."""
    with pytest.raises(kind) as caught:
        action(*arguments, **more)
    assert type(caught.value) is kind
    return caught.value.message, caught.value.hint
