"""DNS servers of a hypervisor, asked by guests of two subnets of one router and of one without a router.

The guests are network namespaces with a port of the integration bridge, and the control service is a file.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, ClassVar

import pytest
from netaddr import IPNetwork

from lab import LabCloud, LabHost
from lab.daemon import Daemon
from lab.waiting import HANG, until
from tests.cloud.nameserver import SERVER

REPO = Path(__file__).parents[2]
QUERY = REPO / "tests" / "dnsquery.py"
FOLDER = "/run/ovnhook/dns"
SUBNETS: dict[str, dict[str, Any]] = {
    name: {"networks": networks, "domain": domain, "router": router, "mac": f"0a:00:00:00:00:0{number}"}
    for number, (name, networks, domain, router) in enumerate(
        (
            ("blue", ["10.1.0.0/24", "fd00:1::/64"], "lab.example", "default"),
            ("green", ["10.2.0.0/23"], "", "default"),
            ("alone", ["10.1.0.0/24"], "lab.example", ""),
        )
    )
}
"""The last one has the same addresses as the first one."""
NAMES = [
    ("blue", "web1", "10.1.0.20"),
    ("blue", "web1", "fd00:1::20"),
    ("green", "web1", "10.2.0.20"),
    ("green", "web2", "10.2.1.22"),
    ("alone", "web1", "10.1.0.30"),
]
BOTH = ["router/default", "subnet/alone"]


GUESTS = {
    "blue": ("0a:00:00:00:01:01", ["10.1.0.101/24", "fd00:1::101/64"]),
    "green": ("0a:00:00:00:01:02", ["10.2.0.102/23"]),
    "alone": ("0a:00:00:00:01:03", ["10.1.0.103/24"]),
}


SERVERS = [("blue", "10.1.0.2"), ("blue", "fd00:1::2"), ("green", "10.2.0.2"), ("alone", "10.1.0.2")]


def sandboxed() -> list[str]:
    """A command that runs another one with the capabilities of the agent's unit, and no others."""
    unit = (REPO / "packaging" / "debian" / "ovnhook-hypervisor.ovnhook-agent.service").read_text()
    lines = re.findall(r"^CapabilityBoundingSet=(.*)", unit, re.MULTILINE)
    wanted = [f"+{word.removeprefix('CAP_').lower()}" for line in lines for word in line.split()]
    return ["setpriv", "--no-new-privs", f"--bounding-set={','.join(('-all', *wanted))}"]


class Servers:
    """A hypervisor with DNS servers, and its guests."""

    def __init__(self, cloud: LabCloud) -> None:
        self.hv1: LabHost = cloud.hypervisors[0]
        self.control = cloud.control
        environment = {"PYTHONPATH": str(REPO)}
        argv = [*sandboxed(), "python3", "-m", "tests.cloud.nameservice_process", "/run/names.json"]
        self.agent = Daemon(self.hv1, "names", argv, environment=environment)
        self.state = self.hv1.run_folder / "names.json"

    def want(self, names: list[tuple[str, str, str]], *scopes: str) -> None:
        """Tell the process what the control service would."""
        new = self.state.with_suffix(".new")
        new.write_text(json.dumps({"subnets": SUBNETS, "scopes": [*scopes], "names": names}))
        new.replace(self.state)

    def ask(self, guest: str, server: str, *queries: str, timeout: float = HANG) -> list[tuple[str, list[str]]]:
        """Answers to queries that a guest sends to a server; each waits for its answer, unless there is to be none."""
        output = self.hv1.run(["ip", "netns", "exec", guest, str(QUERY), server, str(timeout), *queries]).stdout
        return [(one["rcode"], one["answers"]) for one in json.loads(output)]

    def answers(self, guest: str, server: str, query: str) -> list[str]:
        """Answers to one query."""
        return self.ask(guest, server, query)[0][1]

    def plug_guests(self) -> None:
        """Make the guests, again after a restart of Open vSwitch, which has only what is in its database."""
        for name, (mac, addresses) in GUESTS.items():
            device = (
                "set",
                "Interface",
                name,
                "type=internal",
                f'mac="{mac}"',
                f'external_ids:iface-id="guest:{name}"',
            )
            self.hv1.run(["ovs-vsctl", "--may-exist", "add-port", "br-int", name, "--", *device])
            self.hv1.run(["sh", "-c", f"ip netns list | grep -qw {name} || ip netns add {name}"])
            self.hv1.run(["ip", "-n", name, "link", "delete", name], check=False)  # that of before
            self.hv1.run(["ip", "link", "set", name, "netns", name])
            self.hv1.run(["ip", "-n", name, "link", "set", name, "mtu", "1442", "up"])
            for address in addresses:
                self.hv1.run(["ip", "-n", name, "address", "add", address, "dev", name, "nodad"])

    def wait(self, condition: Callable[[], object], what: str) -> None:
        """Wait until something is true."""
        until(condition, HANG, what, self.agent.tail)

    def wait_served(self) -> None:
        """Wait until the servers answer guests of all subnets, and relay other queries."""
        for guest, server in SERVERS:

            def answered(guest: str = guest, server: str = server) -> bool:
                found = self.ask(guest, server, "web1.lab.example/A", "www.example.org/A", timeout=1.0)
                return [*map(len, (answers for _, answers in found))] == [1, 1]

            self.wait(answered, f"answers of {server} to {guest}")

    def pid(self, folder: str) -> int:
        """PID of a server."""
        return int(self.hv1.read(f"{FOLDER}/{folder}/pid"))

    def inside(self, *argv: str, check: bool = True) -> CompletedProcess[str]:
        """Run a command in the namespace of the two subnets' server."""
        return self.hv1.run(["nsenter", f"--net=/proc/{self.pid(self.scope)}/ns/net", "--", *argv], check=check)

    @property
    def relay(self) -> str:
        """Address of the relay for the two subnets' server."""
        shown = json.loads(self.hv1.run(["ip", "-json", "address", "show", f"ovnu{self.scope}"]).stdout)
        return str(shown[0]["addr_info"][0]["local"])

    @property
    def scope(self) -> str:
        """Folder of the two subnets' server."""
        found = self.hv1.run(["grep", "-rl", "10.2.1.22", FOLDER]).stdout.split()
        return found[0].removeprefix(f"{FOLDER}/").partition("/")[0]

    LEFT_OVER: ClassVar[dict[str, str]] = {
        "interfaces": "ip -brief link | grep ovn[ru]",
        "ports": "ovs-vsctl list-ports br-int | grep ovnr",
        "rules": "nft list tables",
        "files": f"ls {FOLDER}",
        "processes": "for pid in /proc/[0-9]*; do "
        "[ $pid/ns/mnt -ef /proc/$$/ns/mnt ] && grep -l conf-file=/run/ovnhook/dn[s] $pid/cmdline; done",
    }

    def left_over(self, kind: str) -> list[str]:
        """What there is of servers."""
        return self.hv1.run(["sh", "-c", self.LEFT_OVER[kind]], check=False).stdout.splitlines()


def create_subnet(servers: Servers, name: str) -> None:
    """A switch with the server's port and a guest's."""
    mac, addresses = GUESTS[name]
    guest = " ".join((mac, *(address.partition("/")[0] for address in addresses)))
    server = " ".join((SUBNETS[name]["mac"], *(str(IPNetwork(one)[2]) for one in SUBNETS[name]["networks"])))
    servers.control.run(
        [
            *("ovn-nbctl", "ls-add", name),
            *("--", "lsp-add", name, f"dns:{name}", "--", "lsp-set-type", f"dns:{name}", "localport"),
            *("--", "lsp-set-addresses", f"dns:{name}", server),
            *("--", "lsp-add", name, f"guest:{name}", "--", "lsp-set-addresses", f"guest:{name}", guest),
            *("--", "lsp-set-port-security", f"guest:{name}", guest),
        ]
    )


@pytest.fixture(scope="module")
def lab() -> Iterator[Servers]:
    """A hypervisor with three guests, whose agent does nothing but DNS, and the hypervisor's own name server."""
    cloud = LabCloud(f"n{os.getpid()}", hypervisors=1)
    try:
        servers = Servers(cloud.up(services=False))
        cloud.control.write("/run/dns", SERVER, 0o755)
        cloud.control.spawn("dns", ["/run/dns"])
        for name in SUBNETS:
            create_subnet(servers, name)
        servers.plug_guests()
        servers.want(NAMES, *BOTH)
        yield servers
    finally:
        cloud.down()


@pytest.fixture
def servers(lab: Servers) -> Servers:
    """All servers run and are known to answer."""
    lab.agent.start()
    lab.want(NAMES, *BOTH)
    lab.wait_served()
    return lab


SILENCE = 5.0  # seconds, in which a query is repeated
FOUND = "NOERROR"
NONE = "NXDOMAIN"
QUERIES: list[tuple[str, str, list[str]]] = [
    # The address in the client's own subnet, of the IPv4 addresses of a name.
    ("web1/A", FOUND, ["10.1.0.20"]),
    ("web1/AAAA", FOUND, ["fd00:1::20"]),
    ("web1/A/edns", FOUND, ["10.1.0.20"]),
    ("web1/A/tcp", FOUND, ["10.1.0.20"]),
    ("WEB1.Lab.Example/A", FOUND, ["10.1.0.20"]),
    ("web2/A", FOUND, ["10.2.1.22"]),
    # There is such a name, so musl and Windows go on with its other records.
    ("web2/AAAA", FOUND, []),
    ("web1.lab.example/HTTPS", FOUND, []),
    ("web2.lab.example/A", NONE, []),
    ("nothing/A", NONE, []),
    ("nothing/AAAA/edns", NONE, []),
    ("nothing.lab.example/A/tcp", NONE, []),
    ("_ldap._tcp.dc._msdcs.lab.example/SRV", NONE, []),
    ("20.0.1.10.in-addr.arpa/PTR", FOUND, ["web1.lab.example"]),
    ("22.1.2.10.in-addr.arpa/PTR", FOUND, ["web2"]),
    ("99.1.2.10.in-addr.arpa/PTR", NONE, []),
    (f"0.2.{'0.' * 21}1.0.0.0.0.0.d.f.ip6.arpa/PTR", NONE, []),
    ("localhost/A", FOUND, ["127.0.0.1"]),
    ("localhost/AAAA", FOUND, ["::1"]),
    # Relayed.
    ("www.example.org/A", FOUND, ["192.0.2.53"]),
    ("www.example.org/AAAA", FOUND, []),
    ("www.example.org/A/tcp", FOUND, ["192.0.2.53"]),
    ("nothing.example.org/A/edns", NONE, []),
]


def test_queries_of_all_kinds(servers: Servers) -> None:
    """As glibc, musl, systemd-resolved and Windows send them."""
    found = servers.ask("blue", "10.1.0.2", *(query for query, _, _ in QUERIES))
    assert [(query, *one) for (query, _, _), one in zip(QUERIES, found, strict=True)] == QUERIES


def test_queries_by_ipv6(servers: Servers) -> None:
    """The server has an address in each network."""
    assert servers.answers("blue", "fd00:1::2", "web1.lab.example/AAAA") == ["fd00:1::20"]
    assert servers.answers("blue", "fd00:1::2", "web1/A") == ["10.1.0.20", "10.2.0.20"]
    assert servers.answers("blue", "fd00:1::2", "www.example.org/A/tcp") == ["192.0.2.53"]


def test_each_scope_has_its_own_names(servers: Servers) -> None:
    """Also with the same addresses as another one."""
    assert servers.answers("green", "10.2.0.2", "web1/A") == ["10.2.0.20"]
    assert servers.answers("green", "10.2.0.2", "web1.lab.example/A") == ["10.1.0.20"]
    assert servers.answers("alone", "10.1.0.2", "web1.lab.example/A") == ["10.1.0.30"]
    assert servers.ask("alone", "10.1.0.2", "web2/A") == [(NONE, [])]


def test_answers_follow_names(servers: Servers) -> None:
    """A name comes, gets another address, and goes."""
    for names, expected in (
        ([("green", "web3", "10.2.1.30")], ["10.2.1.30"]),
        ([("green", "web3", "10.2.1.31")], ["10.2.1.31"]),
        ([], []),
    ):
        servers.want([*NAMES, *names], *BOTH)
        servers.wait(lambda: servers.answers("blue", "10.1.0.2", "web3/A") == expected, f"web3 as {expected}")  # noqa: B023
        reverse = "31.1.2.10.in-addr.arpa/PTR"
        known = servers.answers("blue", "10.1.0.2", reverse)
        assert known == (["web3"] if expected == ["10.2.1.31"] else [])


def test_many_names_at_once(servers: Servers) -> None:
    """More than the kernel tells a process about."""
    many = [("green", f"many{number}", f"10.2.1.{number}") for number in range(1, 250)]
    many += [("green", f"many{number}", f"fd00:2::{number:x}") for number in range(250, 4000)]
    servers.want(many, *BOTH)
    servers.wait(lambda: servers.answers("blue", "10.1.0.2", "many3999/AAAA"), "the last name")
    servers.wait(lambda: servers.answers("blue", "10.1.0.2", "many1/A") == ["10.2.1.1"], "the first name")
    servers.wait(lambda: servers.ask("blue", "10.1.0.2", "web2/A") == [(NONE, [])], "an earlier name to be gone")


def test_a_guest_asks_with_its_own_address_only(servers: Servers) -> None:
    """OVN drops packets with another one, and ARP replies for the server's: the other guests' queries go on."""
    inside = ("ip", "netns", "exec", "alone", "sh", "-c")
    try:
        servers.hv1.run(
            [*inside, "ip address add 10.1.0.200/24 dev alone; ip route add 10.1.0.2 dev alone src 10.1.0.200"]
        )
        assert servers.ask("alone", "10.1.0.2", "web1/A", timeout=SILENCE) == [("no answer", [])]
    finally:
        servers.hv1.run([*inside, "ip route delete 10.1.0.2; ip address delete 10.1.0.200/24 dev alone"])
    assert servers.answers("alone", "10.1.0.2", "web1/A") == ["10.1.0.30"]


def test_nothing_but_dns_passes(servers: Servers) -> None:
    """A namespace forwards nothing, and its server has no way to other ports of the host, or to guests."""
    relay = servers.relay
    ping = ("ip", "netns", "exec", "blue", "ping", "-c", "2", "-i", "0.2", "-W", "1")
    servers.hv1.run(["ip", "-n", "blue", "route", "add", "default", "via", "10.1.0.2"])
    try:
        servers.wait(lambda: servers.hv1.run([*ping, "10.1.0.2"], check=False).returncode == 0, "an answer to a ping")
        for address in (relay, "10.2.0.102"):
            assert servers.hv1.run([*ping, address], check=False).returncode == 1
    finally:
        servers.hv1.run(["ip", "-n", "blue", "route", "delete", "default"])
    for address, port, reached in ((relay, 15053, True), (relay, 22, False), ("10.1.0.101", 22, False)):
        timeout = HANG if reached else 2
        connect = f"import socket; socket.create_connection(('{address}', {port}), {timeout})"
        done = servers.inside("python3", "-c", connect, check=False)
        assert ("timed out" in done.stderr, done.returncode == 0) == (not reached, reached), done.stderr


FIREWALL = """table inet other { chain input { type filter hook input priority filter; policy drop; iif lo accept;
    ct state established,related accept; }; }"""
BLOCKED = """
from ovnhook.base.deadline import Deadline
from ovnhook.diagnosis import firewalls
from ovnhook.hostnetwork import passages, rulesets
deadline = Deadline.after(60)
for one in firewalls.blocked(rulesets.read(deadline), passages.wanted(deadline)):
    print(one.what, one.hint, sep="\\n")
"""


def test_another_firewall_that_drops_relayed_queries(servers: Servers) -> None:
    """It is found, and the command of the hint lets them pass; ovnhook's own rules are no reason."""

    def blocked() -> list[str]:
        return servers.hv1.run(["python3", "-c", BLOCKED]).stdout.splitlines()

    assert blocked() == []
    servers.hv1.run(["nft", "-f", "-"], input=FIREWALL)
    try:
        assert servers.answers("blue", "10.1.0.2", "web1/A")
        what, hint = blocked()
        assert what.startswith("chain input of the nftables table inet other drops queries of guests")
        servers.hv1.run(["sh", "-c", hint])
        assert blocked() == []
        servers.wait_served()
    finally:
        servers.hv1.run(["nft", "delete", "table", "inet", "other"])


DAMAGE = [
    "kill -9 $(cat {scope}/pid)",
    "kill -9 $(cat relay/pid)",
    "kill -9 $(cat */pid)",
    "kill $(cat {scope}/pid); rm -r {scope} relay",
    "rm -r {scope}/names",
    "ip link delete ovnu{scope}",
    "ovs-vsctl del-port $(ovs-vsctl list-ports br-int | grep -m 1 ovnr)",
    "for port in $(ovs-vsctl list-ports br-int | grep ovnr); do ovs-vsctl del-port $port; done",
    "nsenter -t $(cat {scope}/pid) -n ip link delete upstream",
]
"""What is noticed within two seconds; in /run/ovnhook/dns."""
SILENT_DAMAGE = [
    "nsenter -t $(cat {scope}/pid) -n ip address flush to 10.0.0.0/8",
    "nsenter -t $(cat {scope}/pid) -n nft add rule inet ovnhook_names output oifname != upstream drop",
    "for port in $(ovs-vsctl list-ports br-int | grep ovnr); do ovs-vsctl clear Interface $port external_ids; done",
    "echo >{scope}/names/10.1.0.20",
]
"""What is noticed within a minute, or when the agent starts."""


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_repaired(servers: Servers, damage: str) -> None:
    """Whoever did it."""
    servers.hv1.run(["sh", "-ec", f"cd {FOLDER}; {damage.format(scope=servers.scope)}"])
    servers.wait_served()


def test_silent_damage_is_repaired(servers: Servers) -> None:
    """At the next start of the agent at the latest."""
    scope = servers.scope
    for damage in SILENT_DAMAGE:
        servers.hv1.run(["sh", "-ec", f"cd {FOLDER}; {damage.format(scope=scope)}"])
    servers.agent.restart()
    servers.wait_served()


def test_servers_outlive_the_agent(servers: Servers) -> None:
    """It adopts them when it is back; also after Open vSwitch has restarted meanwhile."""
    servers.agent.kill()
    pids = [servers.pid(servers.scope), servers.pid("relay")]
    assert servers.answers("blue", "10.1.0.2", "web1/A") == ["10.1.0.20"]
    servers.agent.start()
    servers.want([*NAMES, ("blue", "new", "10.1.0.99")], *BOTH)
    servers.wait(lambda: servers.answers("blue", "10.1.0.2", "new/A"), "a new name")
    assert pids == [servers.pid(servers.scope), servers.pid("relay")]
    servers.agent.kill()
    servers.hv1.daemon("ovs-vswitchd").restart()
    servers.plug_guests()
    servers.agent.start()
    servers.wait_served()


def test_nothing_is_left_of_a_scope_without_guests(servers: Servers) -> None:
    """Nor of the last one, also if the agent wasn't there when it ended."""
    servers.want(NAMES, "subnet/alone")
    servers.wait(lambda: len(servers.left_over("interfaces")) == 1, "one namespace to go")
    assert servers.answers("alone", "10.1.0.2", "web1/A") == ["10.1.0.30"]
    assert servers.ask("blue", "10.1.0.2", "web1/A", timeout=SILENCE) == [("no answer", [])]
    servers.agent.kill()
    servers.want(NAMES)
    servers.agent.start()
    servers.wait(lambda: not any(map(servers.left_over, servers.LEFT_OVER)), "everything to go")
