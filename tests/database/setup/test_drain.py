"""``ovnhook node drain`` on a host whose databases answer, before any domain is touched."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ovnhook.base.config import Config
from ovnhook.base.errors import Unavailable
from ovnhook.setup.drain.drain import DrainOptions, drain
from tests.database.ovsdb_server import Server


def test_a_host_whose_southbound_database_is_not_named(northbound: Server, vswitch: Server) -> None:
    """What is missing in its Open vSwitch is told, and how to set it."""
    config = replace(Config(), northbound=northbound.remote, vswitch=vswitch.remote)
    said: list[str] = []
    with pytest.raises(Unavailable, match="Open vSwitch has no external_ids:ovn-remote") as caught:
        drain(DrainOptions("hv1", (), "qemu+ssh://root@{node}/system", 1), config, said.append)
    assert caught.value.hint == "ovs-vsctl set open . external-ids:ovn-remote=…"
    assert said == []
