"""Configuration of dnsmasq."""

from __future__ import annotations

from pathlib import Path

from netaddr import IPAddress

from ovnhook.hostnetwork.dnsconfig import relay_configuration, scope_configuration
from ovnhook.hostnetwork.namescope import NameScope
from tests.unit.hostnetwork.subnets import SCOPE, SUBNETS

FOLDER = Path("/run/ovnhook/dns/x")


def test_a_scope_answers_for_its_subnets_itself() -> None:
    """Whatever else it is asked goes to the relay, and nothing of the host's own files is in it."""
    scope = NameScope.of(SCOPE, SUBNETS.values())
    text = scope_configuration(scope, FOLDER / "names", FOLDER / "pid", IPAddress("169.254.64.0"), "dnsmasq")
    lines = text.splitlines()
    assert {"no-hosts", "no-resolv", "domain-needed", f"hostsdir={FOLDER / 'names'}"} <= {*lines}
    assert [line for line in lines if line.startswith("server=")] == ["server=169.254.64.0#15053"]
    assert {"local=/lab.example/", "local=/0.1.10.in-addr.arpa/", "local=/1.2.10.in-addr.arpa/"} <= {*lines}


def test_the_relay_follows_the_hosts_name_servers() -> None:
    """It keeps nothing, and listens where namespaces are only."""
    lines = relay_configuration(Path("/etc/resolv.conf"), FOLDER / "pid", "nobody").splitlines()
    assert {"resolv-file=/etc/resolv.conf", "cache-size=0", "except-interface=lo", "user=nobody"} <= {*lines}
    assert "no-resolv" in relay_configuration(None, FOLDER / "pid", "nobody").splitlines()
