"""An agent's reconciler with real databases and a real control service; libvirt's answers are the test's."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

pytest.importorskip("libvirt")  # which PyPI's newest needs libvirt's headers for

from lab.waiting import HANG, until
from ovnhook.agent import reconcile
from ovnhook.agent.control import HostStream
from ovnhook.agent.hypervisor import DomainState, DomainStates
from ovnhook.agent.libvirtcalls import NoAnswer
from ovnhook.agent.locks import DomainLocks
from ovnhook.agent.reconcile import Reconciler
from ovnhook.api.agentmessages import object_message, object_of
from ovnhook.api.calls import Calls
from ovnhook.base import uuids
from ovnhook.base.config import Config
from ovnhook.base.errors import Unavailable
from ovnhook.control.server import ControlServer
from ovnhook.databases import inventory
from ovnhook.diagnosis.values import CheckResult, Difference
from ovnhook.domains.inventory import Inventory
from ovnhook.domains.values import Domain
from tests.database.direct_host import DirectHost
from tests.database.hypervisors import MACS, MAIL, Hypervisors, domain, interface, soon
from tests.database.ovsdb_server import Server

ONE = domain(interface(MACS[0], tap="vnet0"))
TWO = domain(interface(MACS[1], tap="vnet1"), uuid=MAIL, name="mail")


def xml(one: Domain) -> bytes:
    """The XML of a domain that runs."""
    interfaces = "".join(
        f"<interface type='bridge'><mac address='{each.mac}'/><source bridge='br-int'/>"
        f"<virtualport type='openvswitch'/><target dev='{each.device}'/></interface>"
        for each in one.interfaces
    )
    name = f"<name>{one.name}</name><uuid>{one.uuid}</uuid>"
    return f"<domain id='{one.id}'>{name}<devices>{interfaces}</devices></domain>".encode()


class ListedLibvirt:
    """What a host's libvirt says."""

    def __init__(self, *running: Domain) -> None:
        self.seen = {one.uuid: DomainState(live=xml(one), definition=xml(one)) for one in running}
        self.silent: dict[UUID, str] = {}
        self.migrating: set[UUID] = set()
        self.after_list: Callable[[], object] = lambda: None

    def domains(
        self, known: Mapping[UUID, str], moving: Collection[UUID], in_transition: Mapping[UUID, float]
    ) -> DomainStates:
        """All of them."""
        del known, moving, in_transition
        seen = DomainStates({uuid: one for uuid, one in self.seen.items() if uuid not in self.silent}, self.silent)
        self.after_list()
        return seen

    def domain(self, uuid: UUID, *, is_moving: bool = False) -> DomainState | None:
        """One of them."""
        del is_moving
        if uuid in self.silent:
            raise NoAnswer("libvirt does not answer")
        return self.seen.get(uuid)

    def migrates(self, uuid: UUID) -> bool:
        """Whether it is migrating that one."""
        return uuid in self.migrating

    def hanging(self, in_transition: Mapping[UUID, float]) -> frozenset[UUID]:
        """None."""
        del in_transition
        return frozenset()


class ShiftedClock:
    """The time, which the test may let pass."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        """As time.monotonic()."""
        return time.monotonic() + self.ahead

    def sleep(self, seconds: float) -> None:
        """As time.sleep(), at once."""
        self.ahead += seconds


class ReconcilingAgent:
    """A reconciler with that libvirt, and the stream of a control service.

    Args:
        host: the host hv1.
        service: the control service.
        control: path of its socket.
        monkeypatch: of the test.
    """

    def __init__(
        self, host: DirectHost, service: ControlServer, control: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.host = host
        self.service = service
        self.libvirt = ListedLibvirt(ONE, TWO)
        self.clock = ShiftedClock()
        self.locks = DomainLocks()
        monkeypatch.setattr(reconcile, "time", self.clock)
        monkeypatch.setattr(reconcile, "Hypervisor", lambda _: self.libvirt)
        stream = HostStream(Calls([str(control)], tuple))
        self.reconciler = Reconciler(Config(), host, stream, self.locks, lambda: None)
        threading.Thread(target=self.reconciler.view.run, daemon=True).start()

    @property
    def problems(self) -> list[str]:
        """What others are told."""
        return [*self.reconciler.problems]

    def scan(self) -> None:
        """Compare, and repair what is seen for the second time."""
        self.catch_up()
        self.reconciler.scan()
        self.clock.ahead += 60

    def differences(self) -> list[Difference]:
        """What a check finds."""
        self.catch_up()
        return [found.difference for found in self.reconciler.check(repair=False)]

    def repair(self) -> list[CheckResult]:
        """What a check with repair says."""
        self.catch_up()
        return self.reconciler.check(repair=True)

    @property
    def is_blind(self) -> bool:
        """Whether its view is away."""
        try:
            self.reconciler.view.inventory("hv1", soon().within(0))
        except Unavailable:
            return True
        return False

    def catch_up(self) -> None:
        """Wait until the view has what the database has."""

        def stored() -> Inventory:
            found = inventory.read(self.host.northbound.database, "hv1", soon())
            messages = (
                *map(object_message, found.ports.values()),
                *map(object_message, found.lease_indexes.values()),
                *map(object_message, found.leases.values()),
            )
            return Inventory.of("hv1", filter(None, map(object_of, messages)))

        until(lambda: replace(self.reconciler.view.inventory("hv1", soon()), mtus={}) == stored(), HANG, "the view")


@pytest.fixture
def agent(
    world: Hypervisors, hv1: DirectHost, southbound: Server, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ReconcilingAgent]:
    """An agent of hv1, with two domains that run and have all that they should have."""
    hv1.attach(ONE, soon())
    hv1.attach(TWO, soon())
    world.create_router()
    socket = directory / "run" / "control.sock"
    service = ControlServer(socket, Config(northbound=world.server.remote, southbound=southbound.remote))
    service.start()
    made = ReconcilingAgent(hv1, service, socket, monkeypatch)
    yield made
    made.reconciler.view.stop()
    service.stop()


def lose_port(world: Hypervisors, domain: UUID, mac: str) -> None:
    """Somebody deletes a port."""
    port = ["uuid", str(uuids.port(domain, mac))]
    switch = {"op": "mutate", "table": "Logical_Switch", "where": [], "mutations": [["ports", "delete", port]]}
    world.server.transact(switch)
