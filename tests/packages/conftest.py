"""Machines that tests are given."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.packages.machine import Machine
from tests.packages.network import MachineNetwork


@pytest.fixture(params=["bookworm", "trixie"])
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """A machine that has OVN and libvirt, and is on."""
    made = Machine(request.param)
    try:
        made.boot()
        yield made
    finally:
        made.remove()


@pytest.fixture
def network() -> Iterator[MachineNetwork]:
    """A network of the test's own."""
    made = MachineNetwork()
    yield made
    made.remove()


@pytest.fixture(params=["bookworm", "trixie"])
def machines(request: pytest.FixtureRequest, network: MachineNetwork) -> Iterator[Callable[[str], Machine]]:
    """Switches on one more machine on the test's network, with this address (``192.0.2.1/24``)."""
    with ExitStack() as undo:

        def made(address: str) -> Machine:
            new = Machine(request.param, network.host(address))
            undo.callback(new.remove)
            new.boot()
            return new

        yield made
