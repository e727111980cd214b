"""Other firewalls of a host, as recorded: ufw 0.36.2, firewalld 1.3.3, Docker's rules, rules of one's own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ovnhook.diagnosis.firewalls import Rulesets, blocked, forwarded, received

RECORDED = Path(__file__).parent / "rulesets"
OUT = "connections of guests from br-host to eth0"
BOTH = {4: ["eth0"], 6: ["eth0"]}
DNS = [*received("ovnu1234", "ovnu+", {"udp": 15053, "tcp": 15053}, "guests' DNS queries")]


def recorded(name: str) -> Rulesets:
    """Rulesets of a firewall; those whose name ends with ``-fixed`` after the commands of the hint."""
    saved = [(f"{tool}-nft", RECORDED / f"{name}.{tool}") for tool in ("iptables", "ip6tables")]
    nft = RECORDED / f"{name}.nft"
    found = Rulesets(
        nft.read_text() if nft.exists() else "",
        tuple((tool, path.read_text()) for tool, path in saved if path.exists()),
    )
    assert found.tables()
    return found


@pytest.mark.parametrize(
    ("name", "what", "hint"),
    [
        ("ufw", f"ufw drops {OUT}", "ufw route allow in on br-host"),
        (
            "firewalld",
            f"firewalld drops {OUT}",
            "firewall-cmd --permanent --zone=trusted --add-interface=br-host; firewall-cmd --reload",
        ),
        (
            "docker",
            f"Docker drops {OUT}, of IPv4",
            "iptables-nft -I DOCKER-USER -i br-host -j ACCEPT; "
            "iptables-nft -I DOCKER-USER -o br-host -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        ),
        (
            "nftables",  # it lets br-* out, from addresses of IPv4
            f"chain forward of the nftables table inet filter drops {OUT}, of IPv6",
            'nft insert rule inet filter forward iifname "br-host" accept; '
            'nft insert rule inet filter forward oifname "br-host" ct state established,related accept',
        ),
    ],
)
def test_forwarded_connections(name: str, what: str, hint: str) -> None:
    """Are dropped, until what the hint says was done."""
    (found,) = blocked(recorded(name), forwarded("br-host", BOTH))
    assert (found.what, found.hint) == (what, hint)
    assert blocked(recorded(f"{name}-fixed"), forwarded("br-host", BOTH)) == []


@pytest.mark.parametrize(
    ("name", "who", "hint"),
    [
        ("ufw", "ufw", "ufw allow in on ovnu+"),
        (
            "firewalld",
            "firewalld",
            "firewall-cmd --permanent --zone=trusted --add-interface=ovnu+; firewall-cmd --reload",
        ),
        (
            "nftables",
            "chain input of the nftables table inet filter",
            'nft insert rule inet filter input iifname "ovnu*" accept',
        ),
    ],
)
def test_packets_for_the_host(name: str, who: str, hint: str) -> None:
    """Are dropped, too."""
    (found,) = blocked(recorded(name), DNS)
    assert (found.what, found.hint) == (f"{who} drops guests' DNS queries", hint)
    assert blocked(recorded(f"{name}-fixed"), DNS) == []
    assert blocked(recorded("docker"), DNS) == []


def test_matches_that_nft_does_not_print() -> None:
    """Without iptables' own output they are unknown: conditions that may be true block nothing."""
    (found,) = blocked(recorded("docker"), forwarded("br-host", {4: ["eth0"]}))
    (alone,) = blocked(Rulesets(recorded("docker").nft), forwarded("br-host", {4: ["eth0"]}))
    assert found.hint.startswith("iptables-nft ")
    assert alone.hint.startswith("nft insert rule ip filter FORWARD ")
    conditional = _chain([{"xt": {"type": "match", "name": "set"}}, {"accept": None}])
    assert blocked(Rulesets(conditional), forwarded("br-host", BOTH)) == []


def _chain(*rules: Sequence[dict[str, Any]]) -> str:
    """A forward chain with policy drop."""
    place = {"family": "inet", "table": "t"}
    chain = {**place, "name": "c", "type": "filter", "hook": "forward", "policy": "drop"}
    return json.dumps(
        {"nftables": [{"chain": chain}, *({"rule": {**place, "chain": "c", "expr": one}} for one in rules)]}
    )


@pytest.mark.parametrize(
    "statement",
    [
        {"limit": {"rate": 1, "per": "second"}},
        {"match": {"op": "==", "left": {"fib": {"result": "type", "flags": ["daddr"]}}, "right": "local"}},
        {"match": {"op": "==", "left": {"meta": {"key": "mark"}}, "right": 1}},
        {"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "@unknown"}},
        {"match": {"op": "==", "left": {"payload": {"base": "nh", "offset": 0, "len": 4}}, "right": 4}},
        {"match": {"op": "!=", "left": {"meta": {"key": "iifname"}}, "right": {"set": ["eth0", "lo"]}}},
        {
            "match": {
                "op": "==",
                "left": {"payload": {"protocol": "tcp", "field": "dport"}},
                "right": {"range": [1, 500]},
            }
        },
    ],
)
def test_conditions_that_may_be_true(statement: dict[str, Any]) -> None:
    """A packet that may be accepted is not reported."""
    replies = {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["established", "related"]}}
    ruleset = Rulesets(_chain([statement, {"accept": None}], [replies, {"accept": None}]))
    assert blocked(ruleset, forwarded("br-host", {4: ["eth0"]})) == []


@pytest.mark.parametrize(
    "statement",
    [
        {"match": {"op": "!=", "left": {"meta": {"key": "iifname"}}, "right": "br-*"}},
        {"match": {"op": "==", "left": {"meta": {"key": "nfproto"}}, "right": "ipv6"}},
        {"match": {"op": "==", "left": {"payload": {"protocol": "udp", "field": "dport"}}, "right": 443}},
        {"match": {"op": "==", "left": {"payload": {"protocol": "icmp", "field": "type"}}, "right": "echo-request"}},
    ],
)
def test_conditions_that_are_false(statement: dict[str, Any]) -> None:
    """They let nothing pass."""
    assert blocked(Rulesets(_chain([statement, {"accept": None}])), forwarded("br-host", {4: ["eth0"]}))


def test_chains_that_call_each_other() -> None:
    """The kernel refuses a loop; here it ends, too."""
    loop: dict[str, Any] = {"jump": {"target": "c"}}
    assert blocked(Rulesets(_chain([loop], [loop])), forwarded("br-host", BOTH)) == []


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"nftables": [{"rule": {}}]}', '{"nftables": [1]}', "[" * 100_000])
def test_output_that_is_something_else(text: str) -> None:
    """Is an error, or nothing."""
    if text:
        with pytest.raises(ValueError, match=r"."):
            blocked(Rulesets(text), forwarded("br-host", BOTH))
    else:
        assert blocked(Rulesets(text), forwarded("br-host", BOTH)) == []


def test_iptables_with_quotes_and_ports() -> None:
    """Comments, ranges of ports, negations and wildcards are read as iptables-save writes them."""
    text = """*filter
:FORWARD DROP [1:2]
-A FORWARD -i br+ ! -o br-host -p tcp -m comment --comment "it's ! -j DROP" -m multiport --dports 80,400:500 -j ACCEPT
-A FORWARD -o br-host -m conntrack ! --ctstate NEW -j ACCEPT
COMMIT
"""
    assert blocked(Rulesets(saved=(("iptables-legacy", text),)), forwarded("br-host", {4: ["eth0"]})) == []
    closed = text.replace("400:500", "400")
    (found,) = blocked(Rulesets(saved=(("iptables-legacy", closed),)), forwarded("br-host", {4: ["eth0"]}))
    assert found.what == f"chain FORWARD of iptables-legacy drops {OUT}"
    assert found.hint.startswith("iptables-legacy -I FORWARD -i br-host -j ACCEPT; ")
