"""Packets between control hosts, by a kernel that authenticates them: hosts are namespaces, and there is no daemon."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from lab.waiting import HANG, until
from ovnhook.pki import fence, ipsec, members, x509
from ovnhook.pki.fence import PORTS
from ovnhook.pki.members import Member
from ovnhook.pki.x509 import Authority, Subject
from tests.packages import kernel
from tests.packages.network import MachineNetwork

_SERVE = """
import socket, threading
def answer(client):
    while text := client.recv(65536):
        client.sendall(text)
def serve(port):
    with socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        while True:
            threading.Thread(target=answer, args=server.accept()[:1]).start()
for port in (6641, 6643, 6644, 16642):
    threading.Thread(target=serve, args=(port,)).start()
"""
_ASK = """
import socket, sys
address, port, wait, length = sys.argv[1], *map(int, sys.argv[2:])
with socket.create_connection((address, port), timeout=wait) as server:
    server.settimeout(wait)
    server.sendall(b"x" * length)
    while length:
        length -= len(server.recv(65536))
print("answered")
"""
_GO_ON = """
import socket, sys
with socket.create_connection((sys.argv[1], 6643)) as server:
    for line in sys.stdin:
        server.sendall(line.encode())
        print(server.recv(100).decode(), end="", flush=True)
"""
_PROBE = """
import sys
from ovnhook.control.packets import answers
print(answers(*sys.argv[1:]))
"""
_SHORT = 10  # seconds, after which a connection is taken for one that is refused


@dataclass
class Hosts:
    """Two control hosts, and somebody else."""

    network: MachineNetwork
    control: tuple[str, str]
    other: str
    folder: Path
    authority: Authority = field(default_factory=Authority.new)
    said: set[str] = field(default_factory=set)
    passes: dict[str, set[str]] = field(default_factory=dict)

    def member(self, address: str) -> Member:
        """A control host, as all know it."""
        subject = Subject(f"c{self.control.index(address) + 1}", x509.CONTROL)
        return Member(f"{subject} {subject.name}", subject, address=address)

    def load(self, address: str) -> None:
        """Let a control host know what was said so far, and load what it makes of it, as ovnhook-fence does."""
        own = self.member(address)
        entries = {one.key: f"{one.address} seal" for one in map(self.member, self.control)}
        found = members.read(entries | dict.fromkeys(self.said, "- seal"))
        passes = self.passes.setdefault(address, set())
        others = ipsec.peers(found, own, passes)
        rules, script = self.folder / "rules", self.folder / "script"
        known, plain = [one.address for one in others], [one.address for one in others if not one.sends]
        rules.write_text(fence.rules(known, plain, [one.address for one in others if one.needs_probe]))
        script.write_text(ipsec.script(self.authority, address, others))
        assert self.network.run(address, "nft", "-f", str(rules)) == ""
        assert self.network.run(address, "sh", str(script)) == ""
        self.said |= set(ipsec.announcements(own, others))
        passes |= {one.address for one in others if one.needs_probe and self.answers(address, one.address)}

    def answers(self, source: str, target: str) -> bool:
        """Whether one control host answers another one where both have to authenticate what they send."""
        return self.network.run(source, "/usr/bin/python3", "-c", _PROBE, source, target) == "True\n"

    def reaches(self, source: str, target: str, port: int = PORTS[0], *, wait: float = HANG, length: int = 1) -> bool:
        """Whether somebody has an answer at a port."""
        words = (target, str(port), f"{wait:.0f}", str(length))
        return self.network.run(source, "python3", "-c", _ASK, *words) == "answered\n"

    def reached(self, source: str, target: str) -> list[int]:
        """The ports where somebody has an answer; 6641 is one where everybody has."""
        ports = (*PORTS, 6641)
        with ThreadPoolExecutor() as pool:  # to see that one is refused takes a while
            answers = pool.map(lambda port: self.reaches(source, target, port, wait=_SHORT), ports)
            return [port for port, answer in zip(ports, answers, strict=True) if answer]


@contextmanager
def made(network: MachineNetwork, form: str, folder: Path) -> Iterator[Hosts]:
    """They are on one network; each serves all that asks, and nobody is kept away."""
    one, two, other = (form.format(number) for number in (1, 2, 66))
    hosts = Hosts(network, (one, two), other, folder)
    with ExitStack() as undo:
        for address in (one, two, other):
            name = network.host(f"{address}/{64 if ':' in address else 24}")
            server = subprocess.Popen(["ip", "netns", "exec", name, "python3", "-c", _SERVE])
            undo.callback(server.wait, HANG)
            undo.callback(server.kill)
        for pair in ((one, two), (two, one), (other, one), (one, other)):
            until(partial(hosts.reaches, *pair, wait=_SHORT), HANG, f"{pair[1]} to answer")
        yield hosts


@pytest.mark.parametrize("form", ["192.0.2.{}", "2001:db8::{}"])
def test_an_address_is_not_enough(
    network: MachineNetwork, form: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """A connection goes on while two hosts get there; then who has an address alone has none, neither way."""
    if kernel.ran_elsewhere(request.node.nodeid, *kernel.AUTHENTICATION):
        return
    with made(network, form, tmp_path) as hosts:
        get_there(hosts)
        take_an_address(hosts)


def get_there(hosts: Hosts) -> None:
    """Let each of the two control hosts load what it has, until nothing changes any more."""
    one, two = hosts.control
    line = subprocess.Popen(
        ["ip", "netns", "exec", hosts.network.name(one), "python3", "-c", _GO_ON, two],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert line.stdin is not None
    assert line.stdout is not None
    for turn in (one, two) * 5:
        hosts.load(turn)
        line.stdin.write(f"{turn}\n")
        line.stdin.flush()
        assert line.stdout.readline() == f"{turn}\n"
        assert hosts.reaches(one, two)
        assert hosts.reaches(two, one)
    line.stdin.close()
    line.wait(HANG)
    assert "saddr" not in "".join(
        text for text in hosts.network.run(one, "nft", "list", "table", *fence.TABLE).splitlines() if "dport" in text
    )
    assert hosts.reaches(one, two, length=300_000)
    assert hosts.reached(hosts.other, one) == [6641]


def take_an_address(hosts: Hosts) -> None:
    """Let somebody have the address of a host that is off, which comes back then."""
    one, two = hosts.control
    hosts.network.switch_off(two)
    hosts.network.move(hosts.other, two)
    until(partial(hosts.reaches, hosts.other, one, 6641, wait=_SHORT), HANG, "the taken address to be heard")
    assert hosts.reached(hosts.other, one) == [6641]
    assert hosts.reached(one, two) == [6641]
    rules = hosts.folder / "addresses"
    rules.write_text(fence.rules(hosts.control, hosts.control))
    hosts.network.run(one, "nft", "-f", str(rules))
    hosts.network.run(one, "ip", "xfrm", "policy", "flush")
    assert hosts.reached(hosts.other, one) == [*PORTS, 6641]  # as it was when an address was enough
    hosts.load(one)
    assert hosts.reached(hosts.other, one) == [6641]

    hosts.network.move(hosts.other, hosts.other)
    hosts.network.switch_on(two)
    until(partial(hosts.reaches, two, one, 6641, wait=_SHORT), HANG, "the host to be back")
    assert hosts.reached(two, one) == [6641]  # it has lost what its kernel knew
    hosts.load(two)
    assert hosts.reaches(two, one)
    assert hosts.reaches(one, two)


@pytest.mark.parametrize("form", ["192.0.2.{}", "2001:db8::{}"])
def test_an_answer_counts_if_both_ways_are_authenticated(network: MachineNetwork, form: str, tmp_path: Path) -> None:
    """By the rules and by the policies, each alone: all that has not to be authenticated yet goes on as it was."""
    with made(network, form, tmp_path) as hosts:
        one, two = hosts.control
        assert hosts.answers(one, two)
        network.run(one, "nft", "-f", str(_written(tmp_path, fence.rules([two], [two], [two]))))
        assert not hosts.answers(one, two)
        assert hosts.reached(one, two) == hosts.reached(two, one) == [*PORTS, 6641]
        network.run(one, "nft", "delete", "table", *fence.TABLE)

        # What the one that calls sends, and what the one that is called does; there are no associations.
        for here, there, port in ((one, two, "dport 6643"), (two, one, "sport 6643")):
            peer = ipsec.Peer(
                there, (hosts.member(there),), accepts=True, sends=False, is_accepted=True, is_verified=False
            )
            lines = ipsec.script(hosts.authority, here, [peer]).splitlines()
            (policy,) = [line for line in lines if line.startswith("xfrm policy add ") and port in line]
            assert hosts.answers(one, two)
            assert network.run(here, "ip", "-batch", str(_written(tmp_path, f"{policy}\n"))) == ""
            assert not hosts.answers(one, two)
            assert hosts.reached(one, two) == hosts.reached(two, one) == [*PORTS, 6641]
            network.run(here, "ip", "xfrm", "policy", "deleteall", "dir", "out", "priority", str(ipsec.PRIORITY))


def _written(folder: Path, text: str) -> Path:
    path = folder / "written"
    path.write_text(text)
    return path
