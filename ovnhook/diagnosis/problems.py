"""Problems of a cloud, the most severe first, from its observed state. Pure.

A problem names the object and the evidence; its hint says where to look, or what to do.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from ovnhook.base.text import few, quoted
from ovnhook.diagnosis.cloudstate import (
    Certificate,
    CloudState,
    DatabaseState,
    Eavesdropper,
    Pace,
    RouterGateway,
    RowProblem,
    SharedMac,
    SubnetUse,
)
from ovnhook.resources.chassis import Node
from ovnhook.resources.port.values import Port
from ovnhook.resources.router import rules as router_rules
from ovnhook.resources.router.values import HOST
from ovnhook.resources.subnet import earlier
from ovnhook.resources.subnet.dhcp import DHCP_LEASE_TIME

BEAT = 30.0
"""Heartbeat interval of an agent, in seconds: a report without changes."""

STALE = 3 * BEAT
"""Age of an agent's last report, in seconds, after which the agent counts as failed."""

_SKEW = 60.0  # seconds of clock skew that are tolerated
_SHOWN = 20  # rows that are listed one by one
_NEARLY = 0.9  # share of a subnet's addresses
_SOON = 15 * 86_400.0  # seconds before a certificate expires; it is renewed at twice that
_JOIN = "ovnhook node join --gateway; with its own control service: ovnhook node init --all-in-one"
_BRIDGE = {False: "ovs-vsctl set open . external_ids:ovn-bridge-mappings={network}:br-ex", True: _JOIN}
_ENABLE = {False: "ovs-vsctl set open . external_ids:ovn-cms-options=enable-chassis-as-gw", True: _JOIN}
_INIT = "ovnhook node init --control (with --cluster where the databases are a cluster)"


@dataclass(frozen=True)
class Problem:
    """A problem that an administrator has to solve.

    Attributes:
        what: one line that names the object.
        hint: where to look, or what to do.
    """

    what: str
    hint: str


def problems(seen: CloudState) -> tuple[Problem, ...]:
    """All problems, the most severe first: complete outages, then lost traffic, then what may lead to either."""
    hosts_known = not any(database.error for database in seen.databases if database.name == "southbound")
    return (
        *_unread(seen.databases),
        *_northd(seen.pace),
        *_listening(seen),
        *map(partial(_eavesdropper, seen.now), seen.eavesdroppers),
        *_defects(seen.defects),
        *(
            problem
            for gateway in seen.router_gateways
            if hosts_known
            for problem in _router_gateway(gateway, seen.nodes)
        ),
        *(problem for node in seen.nodes for problem in _host(node, seen)),
        *map(_pending, seen.pending),
        *_records(seen),
        *map(_shared_mac, seen.shared_macs),
        *(problem for one in seen.certificates for problem in _certificate(one, seen.now)),
        *_servers(seen.databases),
        *_subnets(seen.uses),
    )


def span(seconds: float) -> str:
    """A human-readable duration: ``12 s``, ``5 min``, ``3 h``, ``2 d``."""
    for unit, size, most in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800)):
        if seconds < most:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"


def _unread(databases: Sequence[DatabaseState]) -> Iterator[Problem]:
    for database in databases:
        if database.error:
            unit = f"ovn-ovsdb-server-{database.name[0]}b"
            yield Problem(
                f"the {database.name} database can't be read: {database.error}",
                f"where it runs: systemctl status {unit}; is '{database.name}' in ovnhook.toml right?",
            )


def _servers(databases: Sequence[DatabaseState]) -> Iterator[Problem]:
    """Problems of single servers of a database that can be read."""
    for database in databases:
        unit = f"ovn-ovsdb-server-{database.name[0]}b"
        for server in () if database.error else database.servers:
            if server.error:
                yield Problem(
                    f"the {database.name} database: its server {server.remote} does not answer: {server.error}",
                    f"where it runs: systemctl status {unit}",
                )
            elif not server.connected:
                yield Problem(
                    f"the {database.name} database: its server {server.remote} is disconnected from its cluster",
                    "where it runs: ovs-appctl cluster/status (ovsdb-server(1)); do the other servers run?",
                )


def _listening(seen: CloudState) -> Iterator[Problem]:
    """Attempts to make the databases' servers listen or connect elsewhere, and control hosts that are open to them."""
    for one in seen.foreign:
        yield Problem(
            f"the {one.database} database had a foreign row {span(seen.now - one.seen)} ago, now removed: {one.what}",
            "it makes ovsdb-server listen or connect elsewhere. Any holder of a node's key can write it: "
            "/var/log/ovn/ovsdb-server-nb.log; ovnhook certificate list; ovnhook certificate revoke NAME --role node",
        )
    if seen.follows_rows:
        yield Problem(
            "the northbound database's server on this host listens where its rows say, and every node can write them",
            _INIT,
        )
    elif seen.accepts_nodes:
        yield Problem("the northbound database's server on this host accepts every node's certificate", _INIT)
    if seen.is_fence_missing:
        yield Problem(
            "this control host has not loaded its firewall rules: cluster ports are open to others, not to members",
            "systemctl status ovnhook-fence.service ovnhook-fence.path; systemctl start ovnhook-fence",
        )
    for name in seen.unanswered:
        yield Problem(
            f"control host {name} does not answer authenticated packets: IP protocol 51 is blocked, or it is down",
            "firewalls between it and this host, and on both: nft add rule inet filter input meta l4proto ah accept",
        )
    for name in seen.unauthenticated:
        yield Problem(
            f"control host {name} does not authenticate its packets: its address alone opens the cluster's ports",
            f"on {name}: journalctl -u ovnhook-fence; is its ovnhook-control an earlier version?",
        )


def _eavesdropper(now: float, one: Eavesdropper) -> Problem:
    return Problem(
        f"host {one.host} was sent copies of the packets of domain {one.domain}, whose port it had bound, too; removed"
        f" {span(now - one.seen)} ago",
        f"{one.host} is compromised, or its ovn-controller is wrong: ovnhook certificate revoke {quoted(one.host)}"
        " --role node; ovn-sbctl list Port_Binding " + one.port,
    )


def _northd(pace: Pace | None) -> Iterator[Problem]:
    if pace and pace.northd is None:
        yield Problem(
            "ovn-northd does not answer: network changes do not reach the hosts",
            "on the control host: systemctl status ovn-northd; its log is /var/log/ovn/ovn-northd.log",
        )


def _defects(defects: Sequence[RowProblem]) -> Iterator[Problem]:
    repair = "the control service repairs it within a minute; if it persists: journalctl -u ovnhook-control"
    for defect in defects[:_SHOWN]:
        yield Problem(f"northbound database: {defect.what}", defect.hint or repair)
    if len(defects) > _SHOWN:
        yield Problem(f"northbound database: {len(defects) - _SHOWN} more rows are missing or modified", repair)


def _router_gateway(gateway: RouterGateway, nodes: Sequence[Node]) -> Iterator[Problem]:
    name, external = gateway.router.name, gateway.router.external
    network = external.physical_network if external else ""
    cut_off = f"router {name} has no external connectivity"
    is_host = external is not None and external.is_host
    if gateway.error:
        yield Problem(
            f"router {name}: its gateways can't be set: {gateway.error}",
            f"on the control host: journalctl -u ovnhook-control; ovn-nbctl list HA_Chassis_Group ovnhook:{name}",
        )
    eligible_hosts = [node.name for node in router_rules.eligible_hosts(gateway.router, nodes)]
    if not eligible_hosts and is_host and not nodes:
        return  # a new control host
    if not eligible_hosts:
        if any(node.is_gateway for node in nodes):
            yield Problem(
                f"{cut_off}: no gateway host has a bridge for physical network {network}",
                f"on a gateway host: {_BRIDGE[is_host].format(network=network)}",
            )
        else:
            yield Problem(
                f"{cut_off}: no host is enabled as a gateway",
                f"on the gateway host: {_ENABLE[is_host]}",
            )
    elif len(router_rules.with_uplink_down(gateway.router, nodes)) == len(eligible_hosts):
        yield Problem(
            f"{cut_off}: no gateway host ({', '.join(eligible_hosts)}) has a link to {network} that is up",
            "see the problems of these hosts below",
        )
    elif not gateway.active:
        yield Problem(
            f"{cut_off}: no gateway host ({', '.join(eligible_hosts)}) is active",
            "on them: systemctl status ovn-controller; do they reach each other's tunnel addresses?",
        )


def _host(node: Node, seen: CloudState) -> Iterator[Problem]:
    name = node.name
    known = seen.pace is not None and seen.pace.northd is not None
    is_silent = known and seen.pace is not None and seen.pace.nodes.get(name) is None
    age = seen.now - node.agent_seen
    if is_silent and age > STALE:
        yield Problem(
            f"host {name} is unreachable: neither ovn-controller nor ovnhook-agent answers",
            f"is it up, and does it reach the southbound database? Gone for good: ovnhook node remove {quoted(name)}",
        )
    elif is_silent:
        yield Problem(
            f"host {name}: ovn-controller does not answer: network changes do not reach it",
            f"on {name}: systemctl status ovn-controller openvswitch-switch",
        )
    for network in sorted(node.uplinks_down & node.physical_networks):
        bridge = f"ovs-vsctl show (is an interface in the bridge for {network}?); ip link (is it up?)"
        yield Problem(
            f"host {name} has no link to the physical network {network} that is up",
            f"on {name}: {'ip route (is there a default route?)' if network == HOST else bridge}",
        )
    for one in node.problems if age <= STALE else ():
        yield Problem(f"host {name}: {one}", f"on {name}: ovnhook check; journalctl -u ovnhook-agent")
    if node.agent and not node.uses_api and age <= STALE and name not in seen.pending:
        yield Problem(
            f"host {name}: its agent, {node.agent}, is an earlier version, which does not use the API",
            f"on {name}: upgrade ovnhook-hypervisor",
        )
    if not node.agent:
        yield Problem(f"host {name} has no agent", f"on {name}: systemctl enable --now ovnhook-agent")
    elif age > STALE and not is_silent:
        yield Problem(
            f"host {name}: its agent has not reported for {span(age)}",
            f"on {name}: systemctl status ovnhook-agent; journalctl -u ovnhook-agent",
        )
    elif age < -_SKEW:
        yield Problem(
            f"host {name}: its clock is {span(-age)} ahead of the control host's",
            f"on both: timedatectl. Until then a failure of the agent on {name} goes unnoticed",
        )


def _pending(name: str) -> Problem:
    return Problem(
        f"host {name} does not use the API yet: the northbound database stays open to all nodes",
        f"on {name}: upgrade ovnhook, then ovnhook node renew. Gone for good: ovnhook node remove {quoted(name)}",
    )


def _records(seen: CloudState) -> Iterator[Problem]:
    """OVN's DNS records of subnets whose upgrade does not go on."""
    alive = [node for node in seen.nodes if node.agent and seen.now - node.agent_seen <= STALE]
    outdated = [node.name for node in alive if node.serves_dns is None]
    failing = [node.name for node in alive if node.serves_dns is False]
    full = [one.name for one in seen.recorded if one.records_until is None and earlier.lacks_resolver(one)]
    if outdated:
        hint = f"they get resolvers instead once ovnhook is upgraded on {', '.join(outdated)}"
    elif failing:
        hint = f"resolvers are to take over, but do not run on {', '.join(failing)}: ovnhook check there"
    elif full:
        hint = f"no address is free for the resolver in {', '.join(full)}: ovnhook lease list; ovnhook lease release"
    else:
        return
    if seen.recorded:
        what = f"{_recorded(seen)}: OVN answers the guests' DNS queries, but few kinds of them{_cve(seen)}"
        yield Problem(what, hint)


def notes(seen: CloudState) -> tuple[str, ...]:
    """Notes on what ends without an administrator, a sentence each."""
    if not _cve(seen) or any(_records(seen)):
        return ()
    left = max(one.records_until or seen.now + DHCP_LEASE_TIME for one in seen.recorded) - seen.now
    return (
        f"{_recorded(seen)}: for {span(max(0.0, left))} OVN still answers the guests' DNS queries{_cve(seen)}, until"
        " all guests have renewed their DHCP leases and know the resolver",
    )


def _recorded(seen: CloudState) -> str:
    return few("subnet", [one.name for one in seen.recorded])


def _cve(seen: CloudState) -> str:
    """The vulnerability that DNS records of subnets open, in words, or "" if there is none."""
    version = re.match(r"([0-9]+)\.([0-9]+)\.([0-9]+)", seen.northd_version)
    if not seen.recorded or not version or not _has_cve_2025_0650(tuple(map(int, version.groups()))):
        return ""
    return f", and OVN {version[0]} lets packets from UDP port 53 pass ACLs meanwhile (CVE-2025-0650)"


def _has_cve_2025_0650(version: tuple[int, ...]) -> bool:
    return version < (24, 3, 5) or (24, 9) <= version < (24, 9, 2)


def shared_macs(ports: Iterable[Port], foreign: Iterable[tuple[str, str, str]]) -> tuple[SharedMac, ...]:
    """MAC addresses that several ports of one subnet have.

    Args:
        ports: ours.
        foreign: subnet, MAC and name of unmanaged ports with one of their MACs.
    """
    owners: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for port in ports:
        owners[port.subnet, port.mac].append(f"domain {port.domain_name} on {port.host}")
    for subnet, mac, name in foreign:
        owners[subnet, mac].append(f"port {name}, which is not ovnhook's")
    return tuple(
        SharedMac(subnet, mac, tuple(sorted(found)))
        for (subnet, mac), found in sorted(owners.items())
        if len(found) > 1 and any(one.startswith("domain ") for one in found)
    )


def _shared_mac(one: SharedMac) -> Problem:
    owners = " and ".join(one.owners)
    return Problem(
        f"subnet {one.subnet}: {owners} have the same MAC address, {one.mac}, and disrupt each other's traffic",
        "virsh edit one of the domains: remove <mac>, libvirt generates a new one; then restart it",
    )


def _certificate(one: Certificate, now: float) -> Iterator[Problem]:
    left = one.ends - now
    what = f"host {one.host}: its {one.role} certificate"
    if left <= 0:
        again = {
            "node": f"ovnhook node token {one.host}; ovnhook node join there",
            "control": f"on {one.host}: ovnhook node renew",
        }
        yield Problem(f"{what} expired {span(-left)} ago", again[one.role])
    elif left < _SOON:
        yield Problem(
            f"{what} expires in {span(left)} and was not renewed",
            f"on {one.host}: journalctl -u ovnhook-renew; ovnhook node renew",
        )


def _subnets(uses: Sequence[SubnetUse]) -> Iterator[Problem]:
    for use in sorted(uses, key=lambda use: use.used < use.capacity):
        if use.used < _NEARLY * use.capacity:
            continue
        state = "full" if use.used >= use.capacity else "nearly full"
        yield Problem(
            f"subnet {use.subnet} is {state}: {use.used} of {use.capacity} addresses are leased",
            f"ovnhook lease list --subnet {use.subnet}: 'virsh undefine' releases those of unneeded domains",
        )
