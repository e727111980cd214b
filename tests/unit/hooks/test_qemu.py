"""The hook as a process: what it loads, what it prints, how it ends. Its agent is a socket of the test's."""

from __future__ import annotations

import importlib
import runpy
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from lab.waiting import HANG
from ovnhook.agent import lifecycle
from tests.domain_xml import FOREIGN, OURS

HOOK = Path(__file__).parents[3] / "hooks" / "qemu"
# Runs the hook as its shebang does, but with another agent's socket, and prints what it has loaded at its end.
RUN = f"""
import sys
hook = {{"__name__": "hook"}}
exec(compile(open({str(HOOK)!r}, "rb").read(), "hook", "exec"), hook)
hook["AGENT"] = sys.argv[2]
hook["FIRST_ANSWER_TIMEOUT"] = {HANG}
code = hook["main"](sys.argv[1])
print(*sys.modules, file=sys.stderr)
sys.exit(code)
"""


def _run(operation: str, xml: bytes, agent: Path = Path("/nonexistent")) -> tuple[int, bytes, set[str]]:
    """The exit code, the output, and the modules loaded besides those of a bare interpreter."""
    command = ["/usr/bin/python3", "-I", "-S", "-c"]
    bare = subprocess.run([*command, "import sys; print(*sys.modules)"], capture_output=True, check=True, timeout=HANG)
    done = subprocess.run(
        [*command, RUN, operation, str(agent)], input=xml, capture_output=True, timeout=HANG, check=False
    )
    *said, modules = done.stderr.decode().splitlines()
    assert not said or done.returncode, said
    return done.returncode, done.stdout, set(modules.split()) - set(bare.stdout.decode().split())


class AnsweringAgent(threading.Thread):
    """An agent that answers one call with some bytes, and keeps what it was asked."""

    def __init__(self, path: Path, answer: bytes) -> None:
        super().__init__(daemon=True)
        self.path, self.answer, self.asked = path, answer, b""
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(1)
        self.start()

    def run(self) -> None:
        """Answer one call."""
        with self.listener, self.listener.accept()[0] as connection:
            while part := connection.recv(65536):
                self.asked += part
            connection.sendall(self.answer)


@pytest.mark.parametrize(
    ("operation", "xml"),
    [("started", OURS), ("reconnect", OURS), ("stopped", OURS), ("prepare", FOREIGN)],
    ids=["started", "reconnect", "stopped", "foreign"],
)
def test_a_call_that_needs_nothing_loads_nothing(operation: str, xml: bytes) -> None:
    """Most calls of the hook must cost no more than the interpreter."""
    assert _run(operation, xml) == (0, b"", set())


@pytest.mark.parametrize("operation", ["migrate", "prepare", "start", "release"])
def test_a_call_for_the_agent_loads_a_socket_only(operation: str, tmp_path: Path) -> None:
    """The bare ``_socket`` and not ``socket``, which costs as much again as the interpreter."""
    agent = AnsweringAgent(tmp_path / "s", b"1000\n0\n")
    assert _run(operation, OURS, agent.path) == (0, b"", {"_socket"})
    agent.join(HANG)
    head, _, xml = agent.asked.partition(b"\n")
    assert head.split()[0] == operation.encode()
    assert xml == OURS


def test_the_agents_error_is_the_hooks(tmp_path: Path) -> None:
    """Its exit code, and its line on stderr, which virsh shows."""
    code, out, modules = _run("prepare", OURS, AnsweringAgent(tmp_path / "s", b"1000\n4\novnhook: error: no").path)
    assert (code, out, modules) == (4, b"", {"_socket", "syslog"})


@pytest.mark.parametrize("operation", ["started", "reconnect", "stopped", "restore", "nonsense"])
def test_operations_that_need_nothing_end_at_once(operation: str) -> None:
    """They end well without reading their input, and say nothing."""
    done = subprocess.run(
        [str(HOOK), "web1", operation, "begin", "-"], input=OURS, capture_output=True, timeout=HANG, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@pytest.mark.parametrize("xml", [b"", b"garbage", b"<domain/>", OURS, OURS[:100], b"\xff\xfe" + OURS])
def test_a_release_never_fails(xml: bytes) -> None:
    """Whatever is missing or broken: here there is no agent, and no Open vSwitch."""
    done = subprocess.run(
        [str(HOOK), "web1", "release", "end", "-"], input=xml, capture_output=True, timeout=HANG, check=False
    )
    assert (done.returncode, done.stdout) == (0, b"")


def test_a_call_without_arguments_ends_well() -> None:
    """A person who tries it out harms nothing."""
    assert subprocess.run([str(HOOK)], capture_output=True, timeout=HANG, check=False).returncode == 0


def test_closed_streams_are_survived() -> None:
    """Neither a stdin nor a stderr that is closed makes a release fail."""
    command = f"{HOOK} web1 release end - <&- 2>&- >&-"
    assert subprocess.run(["/bin/sh", "-c", command], timeout=HANG, check=False).returncode == 0


def test_it_concerns_what_can_be_ours() -> None:
    """The cheap look at the XML lets through all that may be ours, and the release of what was."""
    concerns = runpy.run_path(str(HOOK))["concerns"]
    network = b"<domain><interface type='network'><source network='x'/></interface></domain>"
    assert concerns("prepare", OURS)
    bare = b"<domain><interface type='bridge'><source bridge='br-int'/></interface></domain>"
    assert concerns("prepare", bare)  # to be refused: its virtualport is missing
    assert not concerns("start", bare)
    assert not concerns("prepare", FOREIGN)
    assert not concerns("start", network)
    assert concerns("release", network)
    assert concerns("migrate", network)
    assert concerns("prepare", FOREIGN + b"<m xmlns:o='urn:ovnhook:domain:9'/>")


HOSTILE = "web1&#10;ovnhook: error: domain mail is refused&#13;\x85\u2028\u202e"


@pytest.mark.parametrize("asks", ["alone", "agent"])
def test_a_name_makes_no_line_of_its_own(tmp_path: Path, asks: str) -> None:
    """Neither in the hook's own words nor in the agent's: what is not shown is escaped."""
    name = "web1\novnhook: error: domain mail is refused\x1b]0;title\x07\x85\u2028\u202e"
    if asks == "agent":
        agent = AnsweringAgent(tmp_path / "s", b"1000\n4\n" + f"ovnhook: error: domain {name}: no".encode()).path
    else:
        agent = Path("/nonexistent")
    xml = OURS.replace(b"<name>web1", f"<name>{HOSTILE}".encode())
    run = RUN.replace("import sys\n", f"import sys\nsys.path.insert(0, {str(HOOK.parents[1])!r})\n")
    command = ["/usr/bin/python3", "-I", "-S", "-c", run, "migrate", str(agent)]
    done = subprocess.run(command, input=xml, capture_output=True, timeout=120, check=False)
    *said, _modules = done.stderr.decode().split("\n")[:-1]
    assert len(said) == 1
    assert said[0].startswith("ovnhook: error: domain web1\\novnhook: error: domain mail is refused")
    assert said[0].isprintable()


SLOW = RUN.replace(
    "code = hook",
    """import site, time
def main():
    while True:
        time.sleep(0.01)
site.main = main
hook["IMPORT_TIMEOUT"] = 1
hook["CONFIG"] = sys.argv[3]
code = hook""",
)


@pytest.mark.parametrize(
    ("operation", "config", "code"),
    [
        ("prepare", "", 0),
        ("start", "deadline = 10\n", 0),
        ("start", 'on_unavailable = "start"\n', 0),
        ("start", 'deadline = 10\n on_unavailable="refuse"\n', 7),
        ("migrate", "", 7),
        ("release", 'on_unavailable = "refuse"\n', 0),
    ],
)
def test_a_host_that_is_too_slow(tmp_path: Path, operation: str, config: str, code: int) -> None:
    """The hook ends all the same, and names the host, not a database."""
    path = tmp_path / "ovnhook.toml"
    path.write_text(config, encoding="utf-8")
    command = ["/usr/bin/python3", "-I", "-S", "-c", SLOW, operation, "/nonexistent", str(path)]
    done = subprocess.run(command, input=OURS, capture_output=True, timeout=120, check=False)
    assert done.returncode == code
    assert b"this host was too slow: loading ovnhook took more than 1 s" in done.stderr
    assert done.stdout == b""


@pytest.mark.parametrize(
    ("config", "xml", "concerned"),
    [
        ('integration_bridge = "br-ovn"', b"<source bridge='br-ovn'/>", True),
        ("integration_bridge='br-ovn'  # ours", b"<source bridge='br-ovn'/>", True),
        ('integration_bridge = "br-ovn"', b"<source bridge='br-int'/>", False),
        ("# integration_bridge = 'br-ovn'", b"<source bridge='br-int'/>", True),
        ("", b"<source bridge='virbr0'/>", False),
        ("", b"<source network='bare'/>", True),
        ("", b"<source network='default'/>", False),
        ("", b"<source network='default'/><source network='bare' portgroup='x'/>", True),
        ("", b"<source network='nowhere'/>", False),
        ("", b"<source network='../bare'/>", False),
    ],
)
def test_a_missing_virtualport_is_found(config: str, xml: bytes, concerned: bool, tmp_path: Path) -> None:
    """Whatever the integration bridge is called, and when a libvirt network leads to it, from `prepare` on."""
    hook = runpy.run_path(str(HOOK))
    names = hook["concerns"].__globals__
    folder = tmp_path / "network"
    folder.mkdir()
    for name, bridge in (("bare", "br-int"), ("default", "virbr0")):
        (folder / f"{name}.xml").write_text(f"<network><name>{name}</name><bridge name='{bridge}' stp='on'/></network>")
    (tmp_path / "bare.xml").write_text("<network><bridge name='br-int'/></network>")
    (tmp_path / "ovnhook.toml").write_text(f"deadline = 5.0\n{config}\n")
    names["CONFIG"], names["NETWORKS"] = str(tmp_path / "ovnhook.toml"), str(folder).encode()
    assert names["concerns"]("prepare", b"<domain>%s</domain>" % xml) == concerned


def test_a_hook_of_an_earlier_version_finds_what_it_calls() -> None:
    """It is a conffile: an upgrade may leave the old one, which imports the name of then."""
    assert importlib.import_module("ovnhook.lifecycle").answer_alone is lifecycle.answer_alone
