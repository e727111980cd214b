"""Configuration of dnsmasq(8): the DNS server of a name scope, and the host's relay of queries for other names. Pure.

The server answers guests of its subnets. It knows their names, and answers every query that may concern one itself: so
names of guests resolve while nothing else is reachable. It sends other queries to the relay, which has the host's own
name servers (resolv.conf(5)). Packets are not forwarded for that.
"""

from __future__ import annotations

from pathlib import Path

from netaddr import IPAddress

from ovnhook.hostnetwork.namescope import UPSTREAM_PREFIX, NameScope, reverse_zones

RELAY_PORT = 15053
"""UDP and TCP port of the relay. Port 53 of the host may be another server's."""

_CACHE = 1000  # names
_QUERIES = 150  # of one scope to the relay, at the same time: the default
_RELAYED = 1500  # of all scopes


def scope_configuration(scope: NameScope, names: Path, pid: Path, relay: IPAddress, user: str) -> str:
    """Configuration of a scope's server.

    Args:
        scope: the scope.
        names: folder of its host names.
        pid: its PID file.
        relay: address of the relay.
        user: the server's user.
    """
    lines = [
        *_common(pid, user),
        "no-resolv",
        f"server={relay}#{RELAY_PORT}",
        f"hostsdir={names}",
        # Queries for a host name alone are answered, not relayed; so are those in domains of the subnets.
        "domain-needed",
        *(f"local=/{zone}/" for zone in (*scope.domains, *reverse_zones(scope.networks))),
        # RFC 6761, section 6.3
        "address=/localhost/127.0.0.1",
        "address=/localhost/::1",
        # Of several addresses of a name the one in the client's own subnet.
        "localise-queries",
        f"cache-size={_CACHE}",
        f"dns-forward-max={_QUERIES}",
    ]
    return _text(lines)


def relay_configuration(resolv_conf: Path | None, pid: Path, user: str) -> str:
    """Configuration of the relay.

    Args:
        resolv_conf: the host's name servers, whose changes the relay follows; None: the host has no such file.
        pid: its PID file.
        user: the relay's user.
    """
    lines = [
        *_common(pid, user),
        f"resolv-file={resolv_conf}" if resolv_conf else "no-resolv",
        "strict-order",  # as the host's own resolver: the first server may know more names than the second one
        f"port={RELAY_PORT}",
        "bind-dynamic",
        f"interface={UPSTREAM_PREFIX}*",
        "except-interface=lo",
        "cache-size=0",
        f"dns-forward-max={_RELAYED}",
    ]
    return _text(lines)


def _common(pid: Path, user: str) -> list[str]:
    return ["no-hosts", f"pid-file={pid}", f"user={user}", "group=nogroup"]


def _text(lines: list[str]) -> str:
    return "\n".join(("# Written by ovnhook-agent: changes are lost.", *lines, ""))
