"""The packet filter of a gateway host as text."""

from __future__ import annotations

from ovnhook.hostnetwork.gatewayfilter import Forwarding, rules


def test_rules() -> None:
    """Guests' packets to uplinks, replies to them, and nothing that is forwarded only because of guests."""
    text = rules(Forwarding(("wan0", "ens3"), ("ens3",), guards_ipv6=True))
    lines = [line.strip() for line in text.splitlines()]
    assert lines[:2] == ["table inet ovnhook_gateway", "delete table inet ovnhook_gateway"]
    forward = lines[lines.index("chain forward {") + 2 : lines.index("chain postrouting {") - 1]
    assert forward == [
        'iifname "br-host" ct state invalid drop',
        'iifname "br-host" oifname { "ens3", "wan0" } accept',
        'oifname "br-host" ct state established,related accept',
        'iifname "br-host" reject with icmpx admin-prohibited',
        'oifname "br-host" drop',
        'meta nfproto ipv4 iifname { "ens3" } drop',
        "meta nfproto ipv6 drop",
    ]


def test_names_of_interfaces() -> None:
    """One that nft(8) would not take literally is left out, rather than the whole ruleset refused."""
    assert 'oifname { "br0.5" } accept' in rules(Forwarding(('x" accept', "eth*", "br0.5")))
    assert "accept\n" not in rules(Forwarding(("eth*",))).split("ct state established")[0]
