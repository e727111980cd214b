"""What the kernel is to do with packets between control hosts: loaded whatever is missed, and said only if it is."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest

from ovnhook.control.packets import Packets, answers
from ovnhook.pki import fence, ipsec, members, x509
from ovnhook.pki.keyfiles import AuthorityFiles
from ovnhook.pki.members import Member
from ovnhook.pki.x509 import Authority, Subject

FENCE = Path(__file__).resolve().parents[3] / "packaging" / "fence"
AUTHORITY = Authority.new()


def host(number: int) -> Member:
    """A control host."""
    subject = Subject(f"c{number}", x509.CONTROL)
    return Member(f"{subject} m{number}", subject, address=f"192.0.2.{number}")


class ScriptedHost:
    """One with files of its own, and commands that do what a test says."""

    def __init__(self, folder: Path) -> None:
        self.files = AuthorityFiles(folder / "ca")
        self.loaded = folder / "loaded"
        self.commands = folder / "commands"
        for one in (self.loaded, self.commands):
            one.mkdir()
        self.commands.joinpath("sleep").symlink_to("/bin/true")
        self.let("nft", "exit 0")
        self.let("ip", 'cat >/dev/null; echo "ip $*" >>did')
        self.answering: set[str] = set()
        self.packets = Packets(self.files, self.loaded, lambda _, other: other in self.answering)

    def let(self, command: str, script: str) -> None:
        """Let a command do something."""
        path = self.commands / command
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def write(self, *numbers: int, said: frozenset[str] = frozenset()) -> None:
        """Let it know of some hosts, itself first."""
        hosts = [host(number) for number in numbers]
        entries = {one.key: f"{one.address} seal" for one in hosts} | dict.fromkeys(said, "- seal")
        self.packets.write(AUTHORITY, members.read(entries), hosts[0])

    def load(self) -> subprocess.CompletedProcess[str]:
        """What ovnhook-fence.service does."""
        path = f"{self.commands}:{os.environ['PATH']}"
        return subprocess.run(
            [FENCE, self.files.folder],
            cwd=self.loaded,
            env={**os.environ, "PATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def made(tmp_path: Path) -> ScriptedHost:
    """A host that knows another one."""
    one = ScriptedHost(tmp_path)
    one.write(1, 2)
    return one


def test_a_change_while_the_service_runs_is_loaded(made: ScriptedHost, tmp_path: Path) -> None:
    """Of either file: systemd looks for none meanwhile."""
    for suffix in ("nft", "ipsec"):
        changed = made.files.folder / f"fence.{suffix}"
        newer = tmp_path / "newer"
        newer.write_text(f"{changed.read_text()}# newer\n")
        made.let("ip", f"cat >/dev/null; [ ! -e {newer} ] || mv {newer} {changed}")
        assert made.load().returncode == 0
        assert made.loaded.joinpath(f"loaded.{suffix}").read_text().endswith("# newer\n")


def test_what_fails_is_tried_again(made: ScriptedHost) -> None:
    """A script may have taken away what was there before it failed."""
    made.let(
        "ip", "cat >/dev/null; [ -e once ] || { touch once; echo 'RTNETLINK answers: No buffer space' >&2; exit 2; }"
    )
    assert made.load().returncode == 0
    assert made.packets.announced


@pytest.mark.parametrize("command", ["nft", "ip"])
def test_what_fails_for_good_is_seen(made: ScriptedHost, command: str) -> None:
    """By systemd and by the control service; the other half is loaded all the same."""
    made.let(command, "echo 'No buffer space' >&2; exit 1")
    done = made.load()
    assert done.returncode == 1
    assert "No buffer space" in done.stderr
    assert made.packets.announced == []
    if command == "ip":
        assert made.loaded.joinpath("loaded.nft").read_bytes() == made.files.fence.read_bytes()


def test_a_kernel_that_cannot_is_no_failure(made: ScriptedHost) -> None:
    """The rules are there, and nothing is said of packets."""
    made.let("ip", "cat >/dev/null; echo 'Error: Requested type not found.' >&2; exit 2")
    assert made.load().returncode == 0
    assert made.packets.announced == []
    made.packets.rewrite_unloaded(0)
    made.packets.rewrite_unloaded(60)
    assert not made.packets.is_missing


def test_nobody_hears_of_it_where_rules_could_not_ask_for_it(made: ScriptedHost) -> None:
    """Rules that the kernel doesn't know would be refused as a whole, those by addresses among them."""
    assert "ipsec" not in made.files.fence.read_text()
    made.let("nft", 'if [ "$1" = -c ]; then ! grep -q ipsec; fi')
    assert made.load().returncode == 1
    assert made.packets.announced == []
    assert made.loaded.joinpath("loaded.nft").exists()


def test_the_files_are_written_anew_until_they_are_loaded(made: ScriptedHost) -> None:
    """At longer and longer intervals, and told; a host alone has nobody to keep out of a cluster."""

    def written(*times: float) -> list[float]:
        found = []
        for now in times:
            before = [one.stat().st_ino for one in (made.files.fence, made.files.ipsec)]
            made.packets.rewrite_unloaded(now)
            if before != [one.stat().st_ino for one in (made.files.fence, made.files.ipsec)]:
                found.append(now)
        return found

    assert written(0, 1, 14) == []
    assert not made.packets.is_missing
    assert written(15, 16, 44, 45, 46, 104, 105) == [15, 45, 105]
    assert made.packets.is_missing
    assert made.load().returncode == 0
    assert not made.packets.is_missing
    assert written(106, 1000) == []
    made.write(1, 2, 3)
    assert written(1001, 1015, 1016) == [1016]
    made.write(1)
    assert written(2000, 3000) == []
    assert not made.packets.is_missing


def test_associations_that_are_gone_are_missed_by_who_has_promised_them(made: ScriptedHost) -> None:
    """Others send what this host doesn't understand any more."""
    made.write(1, 2, said=frozenset({members.accepts(host(1), host(2))}))
    made.let("ip", "echo 'Error: Requested type not found.' >&2; exit 2")
    made.load()
    made.packets.rewrite_unloaded(0)
    made.packets.rewrite_unloaded(60)
    assert made.packets.is_missing


def test_authenticated_packets_that_do_not_pass(made: ScriptedHost) -> None:
    """Nothing else is authenticated, and it is told; an answer counts only where the kernel lets in no other one."""
    one, two = host(1), host(2)
    said = frozenset({members.accepts(one, two), members.accepts(two, one)})
    made.write(1, 2, said=said)
    rules = made.files.fence.read_text()
    answer = "ip saddr { 192.0.2.2 } tcp sport 6643 tcp dport 16643"
    assert f"{answer} ipsec in reqid {fence.REQID} accept\n        {answer} drop\n" in rules
    made.answering = {two.address}
    assert not made.packets.probe()  # as nothing is loaded
    made.load()
    made.answering = set()
    told = []
    for _ in range(4):
        told.append(made.packets.unanswered)
        assert not made.packets.probe()
    assert told == [(), (), (), ("c2",)]
    made.answering = {two.address}
    assert made.packets.probe()
    made.write(1, 2, said=said)
    assert made.packets.unanswered == ()
    assert answer not in made.files.fence.read_text()
    assert members.sends(one, two) not in made.packets.announced
    made.load()
    assert members.sends(one, two) in made.packets.announced
    assert not made.packets.probe()

    made.write(1)
    made.write(1, 2, said=said)
    assert answer in made.files.fence.read_text()


def test_a_host_is_called_from_the_port_that_policies_name() -> None:
    """Again and again, and whether or not there is an answer."""
    with pytest.MonkeyPatch.context() as patch, socket.create_server(("127.0.0.1", 0)) as server:
        patch.setattr(fence, "NORTHBOUND_RAFT", server.getsockname()[1])
        with socket.create_server(("127.0.0.2", 0)) as other:
            patch.setattr(fence, "PROBE", other.getsockname()[1])
        for _ in range(2):
            assert answers("127.0.0.2", "127.0.0.1")
            connection, address = server.accept()
            connection.close()
            assert address == ("127.0.0.2", fence.PROBE)
        server.close()
        assert not answers("127.0.0.2", "127.0.0.1")


def test_nft_checks_what_it_will_be_asked_for() -> None:
    """The part of the script for it is what nft reads."""
    text = ipsec.script(AUTHORITY, "192.0.2.1", [])
    _, begin, rest = text.partition("nft -c -f - <<END\n")
    assert begin
    done = subprocess.run(
        ["nft", "-c", "-f", "-"], input=rest.partition("END\n")[0], text=True, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert f"ipsec in reqid {fence.REQID}" in rest
