"""Ports as ovs-vsctl prints them."""

from __future__ import annotations

import json

from ovnhook.hostnetwork.switchports import SwitchPort, parse_ports


def test_ports_are_read() -> None:
    """With what they are bound to."""
    ids = ["map", [["attached-mac", "0a:00:00:00:00:01"], ["iface-id", "dns:blue"], ["ovnhook:resolver", "yes"]]]
    output = json.dumps({"headings": ["name", "external_ids"], "data": [["ovnr1", ids]]})
    assert parse_ports(output) == {SwitchPort("ovnr1", "dns:blue", "0a:00:00:00:00:01")}
    assert parse_ports('{"headings": ["name"], "data": []}') == parse_ports("") == frozenset()
