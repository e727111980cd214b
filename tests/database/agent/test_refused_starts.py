"""A start that is refused stays refused, whatever the databases do while it is rolled back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from ovnhook.agent.hookoperation import HookOperation
from ovnhook.agent.lifecycle import answer, read
from ovnhook.base.config import Config
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import AlreadyExists, OvnhookError, Unavailable
from ovnhook.domains.values import Domain
from tests.database.direct_host import DirectHost
from tests.database.hypervisors import IDS, MACS, MAIL, Hypervisors, domain, interface, soon
from tests.database.ovsdb_server import Server

GOLDEN = Path(__file__).parents[2] / "golden"
XML = (GOLDEN / "address_v4.xml").read_bytes()  # of domain web1, which asks for 10.0.0.77
REFUSAL = "address 10.0.0.77 of subnet default is leased to domain mail"


class InterruptedHost(DirectHost):
    """A host where something happens between the refusal of a start and its roll-back."""

    def __init__(self, config: Config, happens: Callable[[], object]) -> None:
        super().__init__(config)
        self._happens = happens

    def roll_back(self, domain: Domain, deadline: Deadline) -> None:
        """Let it happen, and go on."""
        self._happens()
        super().roll_back(domain, deadline)


@pytest.fixture
def world(northbound: Server, make_host: Callable[[str], Server]) -> Hypervisors:
    """A northbound database with three subnets, and a way to make hosts."""
    return Hypervisors(northbound, make_host)


def _raise(error: Exception) -> None:
    raise error


HAPPENINGS: dict[str, Callable[[Hypervisors], Callable[[], object]]] = {
    "nothing": lambda world: lambda: None,
    "northbound database frozen": lambda world: world.server.pause,
    "northbound database gone": lambda world: world.server.stop,
    "Open vSwitch frozen": lambda world: world.vswitches["hv1"].pause,
    "Open vSwitch gone": lambda world: world.vswitches["hv1"].stop,
    "an error of another kind": lambda world: lambda: _raise(OvnhookError("no such row")),
    "an unexpected error": lambda world: lambda: _raise(KeyError("x")),
}


@pytest.mark.parametrize("on_unavailable", ["start", "refuse"])
@pytest.mark.parametrize("happens", HAPPENINGS.values(), ids=HAPPENINGS.keys())
def test_a_refused_start_is_refused(
    world: Hypervisors, happens: Callable[[Hypervisors], Callable[[], object]], on_unavailable: str
) -> None:
    """The answer is the refusal, with its exit code and its message, however the roll-back ends."""
    world.host("hv2").attach(domain(interface(MACS[7], address="10.0.0.77"), uuid=MAIL, name="mail"), soon())
    world.host("hv1")
    config = Config(
        northbound=world.server.remote, vswitch=world.vswitches["hv1"].remote, on_unavailable=on_unavailable
    )
    host = InterruptedHost(config, happens(world))
    told = answer(read(HookOperation.START, XML, "br-int", Deadline.after(2)), host, config)
    assert told.exit_code == AlreadyExists.exit_code
    assert REFUSAL in told.message
    assert not told.unavailable


@pytest.mark.parametrize("away", ["pause", "stop"])
def test_an_open_vswitch_that_is_away_leaves_time_for_the_northbound_database(world: Hypervisors, away: str) -> None:
    """Each of the two is rolled back for itself."""
    hv1 = world.host("hv1")
    hv1.attach(domain(interface()), soon())
    getattr(world.vswitches["hv1"], away)()
    with pytest.raises(Unavailable):
        hv1.roll_back(domain(interface()), Deadline.after(2))
    assert (world.ports, world.leases) == ([], [])


def test_a_taken_interfaceid_whose_owner_cannot_be_read(world: Hypervisors, monkeypatch: pytest.MonkeyPatch) -> None:
    """The start is refused, though the message can't say whose the id is."""
    hv1 = world.host("hv1")
    hv1.attach(domain(interface(id=IDS[1])), soon())

    def away(_name: str, _deadline: Deadline) -> object:
        raise Unavailable("OVN_Northbound: away")

    monkeypatch.setattr(hv1.attachment.northbound, "port_named", away)
    with pytest.raises(AlreadyExists, match=r"^domain clone: ") as caught:
        hv1.attach(domain(interface(MACS[1], id=IDS[1]), uuid=UUID(int=7), name="clone"), soon())
    assert not isinstance(caught.value, Unavailable)
