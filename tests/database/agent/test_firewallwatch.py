"""Other firewalls of a host, as the agent finds them: with nft and iptables, in a network namespace."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from lab.waiting import HANG

LOOK = """
import json
from ovnhook.agent.firewallwatch import FirewallWatch
watch = FirewallWatch()
found = [[one.difference.what, str(one.difference.repair)] for one in watch.check()]
print(json.dumps([found, watch.problems]))
"""
NETWORK = """
ip link add eth0 type veth peer name wire
ip address add 192.0.2.5/24 dev eth0
ip link set wire up; ip link set eth0 up
ip route add default via 192.0.2.1
"""
BRIDGE = "ip link add br-host type bridge"
RESOLVER = "ip link add ovnu0123 type veth peer name inside"
POLICY = "iptables-nft -P FORWARD DROP"
CHAIN = """nft -f - <<.
table inet mine {
    chain forward {
        type filter hook forward priority filter; policy accept
        ct state established,related accept
        oifname "eth0" reject
    }
}
."""


def look(*commands: str) -> tuple[list[list[str]], list[str]]:
    """Prepare a host, and look: differences with their repairs, and problems to report."""
    script = "\n".join(["set -e", NETWORK, *commands, 'exec "$0" -c "$1"'])
    argv = ["unshare", "--net", "sh", "-c", script, sys.executable, LOOK]
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=HANG)
    assert done.returncode == 0, done.stderr
    found, problems = json.loads(done.stdout.splitlines()[-1])
    return found, problems


@pytest.mark.parametrize(
    ("rules", "who", "repair"),
    [
        (
            POLICY,
            "chain FORWARD of iptables-nft",
            "iptables-nft -I FORWARD -i br-host -j ACCEPT; "
            "iptables-nft -I FORWARD -o br-host -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        ),
        (
            CHAIN,
            "chain forward of the nftables table inet mine",
            'nft insert rule inet mine forward iifname "br-host" accept; '
            'nft insert rule inet mine forward oifname "br-host" ct state established,related accept',
        ),
    ],
)
def test_a_firewall_that_drops_what_guests_send(rules: str, who: str, repair: str) -> None:
    """It is found, with the commands that let the packets pass; after them it is not."""
    ((what, how),), (problem,) = look(BRIDGE, rules)
    assert what == f"{who} drops connections of guests from br-host to eth0"
    assert how == f"manual: {repair}"
    assert problem == f"{what}: {repair}"
    assert look(BRIDGE, rules, repair) == ([], [])


def test_a_firewall_that_drops_queries_of_guests() -> None:
    """Those that the DNS servers of guests forward to the host."""
    repair = "iptables-nft -I INPUT -i ovnu+ -j ACCEPT"
    ((what, how),), (problem,) = look(RESOLVER, "iptables-nft -P INPUT DROP")
    assert what == (
        "chain INPUT of iptables-nft drops queries of guests for external names, to port 15053 of this host"
    )
    assert how == f"manual: {repair}"
    assert problem == f"{what}: {repair}"
    assert look(RESOLVER, "iptables-nft -P INPUT DROP", repair) == ([], [])


def test_a_host_that_guests_do_not_use() -> None:
    """Its firewall is nobody's business; without one there is nothing to say."""
    assert look(POLICY) == ([], [])
    assert look(BRIDGE) == ([], [])
