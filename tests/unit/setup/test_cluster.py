"""Members of the database clusters: who is one, and with which options its servers are started."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from ovnhook.base import command
from ovnhook.base.errors import InvalidConfig, OvnhookError
from ovnhook.pki import keyfiles
from ovnhook.setup import cluster
from ovnhook.setup.step import apply_steps


@pytest.mark.parametrize("script", ["sleep 60", "echo 'ovsdb-tool: I/O error' >&2; exit 1"])
def test_a_member_does_not_join_anew_because_its_file_could_not_be_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str
) -> None:
    """A busy disk is no reason to put another identity in place of a member's."""
    for tool, what in (("ovsdb-tool", script), ("systemctl", "exit 0")):
        (tmp_path / tool).write_text(f'#!/bin/sh\necho "{tool} $*" >>{tmp_path}/called\n{what}\n')
        (tmp_path / tool).chmod(0o755)
    for kind in ("nb", "sb"):
        (tmp_path / f"ovn{kind}_db.db").touch()
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(command, "_TIMEOUT", 1.0)
    monkeypatch.setattr(cluster._Database, "file", property(lambda self: tmp_path / f"ovn{self.short}_db.db"))
    monkeypatch.setattr(cluster, "_OPTIONS", tmp_path / "options")
    monkeypatch.setattr(keyfiles, "NORTHBOUND_DROP_IN", tmp_path / "drop-in")
    files = keyfiles.AuthorityFiles(tmp_path)
    tls = (files.northbound, files.databases)
    for member in (
        cluster.ClusterMember("192.0.2.1", "", ("192.0.2.1",), *tls),
        cluster.ClusterMember("192.0.2.2", "192.0.2.1", (), *tls),
    ):
        with pytest.raises(OvnhookError):
            apply_steps(cluster.steps(member), print)
    called = (tmp_path / "called").read_text()
    assert "db-is-" in called
    assert not any(word in called for word in ("create-cluster", "join-cluster", "systemctl stop"))


STATUS = """
Servers:
    aaaa (aaaa at ssl:192.0.2.1:{port}) (self)
    bbbb (bbbb at ssl:[2001:db8::2]:{port}) last msg 12 ms ago
    cccc (cccc at ssl:192.0.2.3:{port}) last msg 12 ms ago
"""


def test_members_that_are_no_control_hosts_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """They can be found again after their removal has failed half way; another cloud's are not ours."""
    monkeypatch.setattr(cluster._Database, "cluster", lambda self, *_: STATUS.format(port=self.raft))
    assert cluster.stale_members(["192.0.2.1", "2001:db8::2"]) == ["192.0.2.3"]
    assert cluster.stale_members(["192.0.2.1", "2001:db8::2", "192.0.2.3"]) == []
    assert cluster.stale_members([]) == []
    assert cluster.stale_members(["192.0.2.9"]) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", '\nOVN_CTL_OPTS="--a=1 --b=2"\n'),
        ("# OVN_CTL_OPTS=\n", '# OVN_CTL_OPTS=\nOVN_CTL_OPTS="--a=1 --b=2"\n'),
        ("OVN_CTL_OPTS='--c=3 --a=9'\nX=1\n", '\nX=1\nOVN_CTL_OPTS="--c=3 --a=1 --b=2"\n'),
        ("OVN_CTL_OPTS=--b=9\nOVN_CTL_OPTS=--d\n", '\nOVN_CTL_OPTS="--d --a=1 --b=2"\n'),
    ],
)
def test_options_of_others_stay(before: str, after: str) -> None:
    """Ours are set, the rest of the file is as it was; once set it is left alone."""
    made = cluster._merged(before, {"a": "1", "b": "2"})
    assert made == after
    assert cluster._merged(made, {"a": "1", "b": "2"}) == made


LOG = "--ovn-northd-log=-vconsole:emer -vsyslog:err"


@pytest.mark.parametrize(
    ("before", "words"),
    [
        (f"""OVN_CTL_OPTS="'{LOG}'" """, [LOG]),
        (f"""OVN_CTL_OPTS='"{LOG}" --c=3'""", [LOG, "--c=3"]),
        ("OVN_CTL_OPTS=\"--ovn-northd-log='-vconsole:emer -vsyslog:err'\"", [LOG]),
        (r"""OVN_CTL_OPTS="--x=\"a b\" '--y=it is' --z=$HOME" """, ["--x=a b", "--y=it is", "--z=$HOME"]),
        ("""OVN_CTL_OPTS='--p="it'"'"'s"'""", ["--p=it's"]),
        (r"""OVN_CTL_OPTS='"--q=back\\slash \"quoted\""'""", [r'--q=back\slash "quoted"']),
        ("""OVN_CTL_OPTS="--empty='' ''" """, ["--empty=", ""]),
    ],
)
def test_words_with_blanks_stay_one_word(before: str, words: list[str]) -> None:
    """As ovn-ctl gets them of systemd, which takes the file's quotes away and splits what is left."""
    made = cluster._merged(before, {"a": "1"})
    (line,) = made.splitlines()[1:]
    (value,) = shlex.split(line)
    assert shlex.split(value.removeprefix("OVN_CTL_OPTS=")) == [*words, "--a=1"]
    assert cluster._merged(made, {"a": "1"}) == made


def test_a_member_that_another_host_has_taken_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether before this one asks for its identity or after: it is out, as was wanted."""
    database = cluster._DATABASES[0]
    left = {"ssl:192.0.2.2:6643": "b2c3"}
    kicked: list[str] = []

    def servers(_: object) -> dict[str, str]:
        return dict(left)

    def kick(_: object, command: str, *argv: str) -> str:
        kicked.append(" ".join((command, *argv)))
        left.clear()
        raise OvnhookError("ovs-appctl: unknown server b2c3")

    monkeypatch.setattr(cluster._Database, "servers", servers)
    monkeypatch.setattr(cluster._Database, "cluster", kick)
    cluster._kick(database, "192.0.2.3")
    assert kicked == []
    cluster._kick(database, "192.0.2.2")
    assert kicked == ["kick b2c3"]
    cluster._kick(database, "192.0.2.2")
    assert kicked == ["kick b2c3"]
    stays = {"ssl:192.0.2.2:6643": "b2c3"}
    monkeypatch.setattr(cluster._Database, "servers", lambda _: stays)
    with pytest.raises(OvnhookError, match="unknown server b2c3"):
        cluster._kick(database, "192.0.2.2")


def test_options_that_are_broken_are_told() -> None:
    with pytest.raises(InvalidConfig, match="/etc/default/ovn-central: OVN_CTL_OPTS: No closing quotation"):
        cluster._merged('OVN_CTL_OPTS="--a', {})
