"""The agent's server with its limits: its host and its reconciler are the test's."""

from __future__ import annotations

import json
import logging
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import pytest
from lxml import etree

from lab.waiting import HANG
from ovnhook.agent.hookoperation import HookOperation
from ovnhook.agent.hooks import BUSY, HookServer
from ovnhook.agent.host import Host
from ovnhook.agent.lifecycle import AGENT_SHARE
from ovnhook.agent.locks import DomainLocks
from ovnhook.base import logs
from ovnhook.base.config import Config
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import InvalidRequest, Unavailable
from ovnhook.domains.domainxml import DomainXML
from tests.clock import Clock
from tests.domain_xml import OURS

WEB = UUID("b0b760f6-c243-4921-961b-fb38061dec03")


class CheckingAgent:
    """A server, and a check that ends when it is told to."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "s"
        self.locks = DomainLocks()
        self.go_on = threading.Event()
        self.checking = threading.Semaphore(0)
        self.beats = threading.Semaphore(0)
        host = cast("Host", None)
        config = Config(deadline=60.0)
        self.server = HookServer(self.path, config, host, self.locks, lambda: None, self.check, self.beats.release)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def check(self, *, repair: bool) -> list[Any]:
        """Find nothing, after a while."""
        del repair
        self.checking.release()
        assert self.go_on.wait(60)
        return []

    def connect(self) -> socket.socket:
        """A connection over which nothing has been said."""
        made = socket.socket(socket.AF_UNIX)
        made.settimeout(60)
        made.connect(str(self.path))
        return made

    def ask(self, request: bytes) -> bytes:
        """The whole answer to a request."""
        with self.connect() as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[CheckingAgent]:
    """As above."""
    made = CheckingAgent(tmp_path)
    yield made
    made.go_on.set()
    made.server.shutdown()
    made.server.server_close()


def test_connections_have_a_limit(agent: CheckingAgent) -> None:
    """One too many is told so at once, not left waiting; when others have ended there is room again."""
    held = [agent.connect() for _ in range(64)]
    assert agent.connect().recv(100) == BUSY
    for connection in held:
        connection.close()
    answer = BUSY
    while answer == BUSY:  # until the server has seen that they ended
        with suppress(ConnectionError):  # it was refused before it had asked
            answer = agent.ask(b"release 1 nonsense")


def test_a_connection_without_a_request(agent: CheckingAgent, caplog: pytest.LogCaptureFixture) -> None:
    """It is no error: an agent that starts looks in this way whether another one serves."""
    assert agent.ask(b"") == b""
    assert not caplog.records


def test_checks_have_a_limit(agent: CheckingAgent) -> None:
    """However long those take that are at work, and the hook is served meanwhile."""
    checks = [threading.Thread(target=agent.ask, args=(b"check 1\n",)) for _ in range(2)]
    for check in checks:
        check.start()
        assert agent.checking.acquire(timeout=HANG)
    _, code, message = agent.ask(b"check 1\n").split(b"\n", 2)
    assert code == b"7"
    assert json.loads(message)["message"] == "the agent is busy: 2 checks are in progress"
    agent.go_on.set()
    for check in checks:
        check.join(60)
    _, code, message = agent.ask(b"check 1\n").split(b"\n", 2)
    assert (code, message) == (b"0", b"[]")


def test_a_domain_that_is_busy_is_left_alone(agent: CheckingAgent) -> None:
    """What was asked for it is not done beside what is being done, and it is said why."""
    with agent.locks.hold(WEB, Deadline.after(60)):
        started = time.monotonic() - 17.5  # of the 18 s that the agent has
        answer = agent.ask(b"prepare %f\n%s" % (started, OURS))
    _, code, message = answer.split(b"\n", 2)
    said = "domain web1 is busy: another operation is in progress: its network is repaired later"
    assert (code, message.decode()) == (b"0", f"ovnhook: warning: {said}")


def test_a_lock_that_can_not_be_had() -> None:
    """It is not taken for one that could, and the next one has it."""
    locks = DomainLocks()
    with (
        locks.hold(WEB, Deadline.after(60)),
        pytest.raises(Unavailable, match=f"domain {WEB} is busy"),
        locks.hold(WEB, Deadline.after(0)),
    ):
        pytest.fail("two have it")
    with locks.hold(WEB, Deadline.after(60)):
        pass


@pytest.mark.parametrize(
    ("operations", "after", "is_between"),
    [
        (("prepare",), 60, True),
        (("prepare", "start"), 119, True),
        (("prepare", "start"), 121, False),
        (("migrate", "prepare", "start"), 19, True),
        (("migrate", "prepare", "start"), 21, False),
        (("prepare", "release"), 19, True),
        (("prepare", "release"), 21, False),
    ],
)
def test_who_is_between_a_hook_and_its_event(
    monkeypatch: pytest.MonkeyPatch, operations: tuple[str, ...], after: float, *, is_between: bool
) -> None:
    """For as long as other hooks may take; not for ever, where libvirt says nothing of how it ended."""
    clock = Clock()
    monkeypatch.setattr("ovnhook.agent.locks.time.monotonic", clock)
    locks = DomainLocks()
    for operation in operations:
        locks.record_request(WEB, HookOperation(operation))
    clock.now += after
    assert locks.in_transition() == ({WEB: after} if is_between else {})
    locks.record_request(WEB, HookOperation.PREPARE)
    locks.end_transition(WEB)
    assert locks.in_transition() == {}


def test_the_loop_that_accepts_shows_that_it_does(agent: CheckingAgent) -> None:
    """Also while nobody asks for anything."""
    for _ in range(3):
        assert agent.beats.acquire(timeout=HANG)


def test_a_name_makes_no_line_of_its_own(agent: CheckingAgent, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever the XML says: the log has one line for one request."""
    handler = logging.StreamHandler()
    handler.setFormatter(logs.OneLine())
    logger = logging.getLogger("ovnhook.agent.hooks")
    logger.addHandler(handler)
    try:
        with agent.locks.hold(WEB, Deadline.after(60)):
            xml = OURS.replace(b"web1", b"web1&#10;INFO ovnhook.agent.hooks: start of domain mail: done\xc2\x9b")
            agent.ask(b"prepare %f\n%s" % (time.monotonic() - 17.5, xml))
    finally:
        logger.removeHandler(handler)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.isprintable()
    assert "domain web1\\nINFO ovnhook.agent.hooks: start of domain mail: done\\x9b" in line


def test_a_traceback_makes_no_message() -> None:
    """Its lines are marked, also those that a value has made."""
    try:
        raise ValueError("no\nERROR ovnhook.agent: all is lost")
    except ValueError:
        record = logging.makeLogRecord(
            {"name": "root", "msg": "failed", "levelname": "ERROR", "exc_info": sys.exc_info()}
        )
    first, *others = logs.OneLine().format(record).splitlines()
    assert first == "ERROR root: failed"
    assert all(line.startswith("| ") for line in others)


@pytest.mark.parametrize("operation", ["migrate", "prepare", "start", "release"])
def test_the_xml_is_read_once(agent: CheckingAgent, monkeypatch: pytest.MonkeyPatch, operation: str) -> None:
    """From the socket to the answer, which names the domain."""
    parsed = []
    fromstring = etree.fromstring

    def count(*given: Any) -> Any:
        parsed.append(given)
        return fromstring(*given)

    monkeypatch.setattr(etree, "fromstring", count)
    answer = agent.ask(f"{operation} {time.monotonic()}\n".encode() + OURS)
    assert b"domain web1: 'NoneType' object has no attribute" in answer
    assert len(parsed) == 1


@pytest.mark.parametrize("operation", ["started", "reconnect", "nonsense"])
def test_other_operations_do_nothing(agent: CheckingAgent, operation: str) -> None:
    """The hook does not send them: libvirt expects no answer, and must not get an error."""
    answer = agent.ask(f"{operation} {time.monotonic()}\n".encode() + OURS)
    assert answer.split(b"\n", 1)[1] == b"0\n"


def test_more_elements_than_a_domain_can_have_are_refused() -> None:
    """Before they are parsed: three million would take longer than a start may."""
    xml = OURS.replace(b"</devices>", b"<a/>" * 100_000 + b"</devices>")
    with pytest.raises(InvalidRequest, match="it has more than 100000 tags"):
        DomainXML(xml)
    assert DomainXML(OURS.replace(b"</devices>", b"<a/>" * 90_000 + b"</devices>")).identity.name == "web1"


@pytest.mark.parametrize(("operation", "share"), [("migrate", 60), ("prepare", 30), ("start", 30), ("release", 30)])
def test_a_migration_has_the_whole_deadline(agent: CheckingAgent, operation: str, share: float) -> None:
    """It is one call, and waits for the source; of a start two calls may wait."""
    answer = agent.ask(f"{operation} 1\nnonsense".encode())
    assert float(answer.partition(b"\n")[0]) == share * AGENT_SHARE
