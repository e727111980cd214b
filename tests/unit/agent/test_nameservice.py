"""The loop that keeps DNS servers: retries, problems, and what it does while nothing is known."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pytest
from netaddr import IPAddress

from ovnhook.agent.hostview import NetworkListeners
from ovnhook.agent.nameservice import NameService
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import Unavailable
from ovnhook.domains.inventory import HostNetworks
from ovnhook.hostnetwork.namescope import NameScope
from ovnhook.hostnetwork.resolvers import Resolvers
from ovnhook.hostnetwork.switchports import SwitchPorts
from ovnhook.resources.hostvalues import HostName
from tests.unit.hostnetwork.subnets import BLUE, SUBNETS

ROUTER = BLUE.scope


class ScopeView:
    """Subnets and names that a test sets."""

    def __init__(self) -> None:
        self.known: HostNetworks | None = None
        self.hosts: dict[str, str] = {}
        self.listeners: list[NetworkListeners] = []

    def listen(self, listeners: NetworkListeners) -> None:
        """Add callbacks."""
        self.listeners.append(listeners)

    def networks(self) -> HostNetworks | None:
        """The subnets."""
        return self.known

    def names(self, scope: str) -> tuple[HostName, ...]:
        """Names of the scope, all in one subnet."""
        return tuple(HostName(BLUE.name, name, IPAddress(address)) for name, address in self.hosts.items())

    def change(self, *scopes: str) -> None:
        """Give the host ports in scopes."""
        self.known = HostNetworks(SUBNETS, {}, frozenset(scopes))
        for one in self.listeners:
            one.networks_changed()


class RecordedResolvers(Resolvers):
    """Servers that note what is done to them, and may fail."""

    def __init__(self) -> None:
        super().__init__(SwitchPorts("", ""))
        self.done: list[tuple[str, str]] = []
        self.error: Exception | None = None
        self.is_damaged = False

    def has_relay(self) -> bool:
        """Always."""
        return True

    def is_intact(self, scope: NameScope) -> bool:
        """Intact, unless damaged."""
        return not self.is_damaged

    def write_names(self, scope: NameScope, files: Mapping[str, str], deadline: Deadline) -> None:
        """Note it."""
        self.done.append(("names", " ".join(files)))

    def converge(self, scope: NameScope, files: Mapping[str, str], deadline: Deadline) -> None:
        """Note it, or fail."""
        if self.error:
            raise self.error
        self.done.append(("converge", scope.name))

    def tidy(self, scopes: Collection[NameScope], deadline: Deadline) -> None:
        """Note it."""
        self.done.append(("tidy", " ".join(scope.name for scope in scopes)))


class NameLoop:
    """The loop, with a clock of its own."""

    def __init__(self) -> None:
        self.view = ScopeView()
        self.resolvers = RecordedResolvers()
        self.now = 0.0
        self.service = NameService(self.view, self.resolvers, clock=lambda: self.now)

    def look(self, seconds: float = 0.0) -> list[tuple[str, str]]:
        """Let time pass, and return what a look does then."""
        self.now += seconds
        self.resolvers.done.clear()
        self.service.look()
        return list(self.resolvers.done)


@pytest.fixture
def loop() -> NameLoop:
    """A loop."""
    return NameLoop()


def test_nothing_is_removed_while_nothing_is_known(loop: NameLoop) -> None:
    """Servers of an earlier agent answer on until the control service has answered."""
    assert loop.look() == loop.look(100) == []
    assert not loop.service.serves
    loop.view.change()
    assert loop.look() == [("tidy", "")]
    assert loop.service.serves


def test_a_look_without_a_change_does_nothing(loop: NameLoop) -> None:
    """But for a full one from time to time."""
    loop.view.change(ROUTER)
    assert loop.look() == [("converge", ROUTER), ("tidy", ROUTER)]
    assert loop.look(1) == []
    assert loop.look(100) == [("converge", ROUTER), ("tidy", ROUTER)]


def test_a_name_is_a_small_change(loop: NameLoop) -> None:
    """The server is not touched."""
    loop.view.change(ROUTER)
    loop.look()
    loop.view.hosts["web1"] = "10.1.0.20"
    for one in loop.view.listeners:
        one.names_changed(ROUTER)
    assert ("names", "10.1.0.20") in loop.look(1)


def test_a_failure_is_retried_with_backoff_and_reported(loop: NameLoop) -> None:
    """Once it has failed several times; the report ends with it."""
    loop.view.change(ROUTER)
    loop.resolvers.error = Unavailable("no switch", "systemctl status ovs-vswitchd")
    loop.look()
    assert not loop.service.serves
    assert not loop.service.problems
    for pause in (2, 4):
        loop.look(pause)
    assert loop.service.problems == (
        f"guests of {ROUTER} can't resolve names: no switch (systemctl status ovs-vswitchd)",
    )
    assert [one.difference.what for one in loop.service.check()] == list(loop.service.problems)
    loop.resolvers.error = None
    assert ("converge", ROUTER) not in loop.look(0.1)
    assert ("converge", ROUTER) in loop.look(10)
    assert not loop.service.problems
    assert loop.service.serves


def test_damage_is_repaired(loop: NameLoop) -> None:
    """At the next look."""
    loop.view.change(ROUTER)
    loop.look()
    loop.resolvers.is_damaged = True
    assert loop.look(1) == [("converge", ROUTER)]


def test_a_subnet_without_a_server_needs_none(loop: NameLoop) -> None:
    """Such as one without a free address."""
    loop.view.change("subnet/small")
    assert loop.look() == [("tidy", "")]
    assert loop.service.serves
