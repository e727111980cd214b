"""Machines that tests are given, and the page of what was seen on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache

import pytest

from tests.machines import sightings
from tests.machines.disk_image import disk_image
from tests.machines.virtual_machine import VirtualMachine, side_by_side
from tests.machines.wire import Wire

Machines = Callable[..., list[VirtualMachine]]

image_of = cache(disk_image)
"""The image of a release, looked up once: while another one is built, look-ups wait for that."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--evidence``."""
    parser.addoption("--evidence", action="store_true", help=f"write the results into {sightings.PAGE.name}")


@pytest.fixture(scope="module", params=["bookworm", "trixie"])
def release(request: pytest.FixtureRequest) -> str:
    """The release of Debian that machines have."""
    return str(request.param)


@pytest.fixture(scope="module")
def machines(release: str) -> Iterator[Machines]:
    """Boots machines, side by side, that have these names, on a wire of their own."""
    with ExitStack() as undo:

        def made(*names: str) -> list[VirtualMachine]:
            image = image_of(release)
            wire = Wire(*names)
            undo.callback(wire.remove)
            new = [VirtualMachine(name, image, wire) for name in names]
            for machine in new:
                undo.callback(machine.remove)
                machine.switch_on()
            side_by_side(*(machine.connect for machine in new))
            return new

        yield made


@pytest.hookimpl(hookwrapper=True)  # type: ignore[untyped-decorator]
def pytest_runtest_makereport(item: pytest.Function) -> Iterator[None]:
    """Note down what was seen."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if item.config.getoption("--evidence") and (report.when == "call" or report.failed):
        release = str(item.callspec.params["release"])
        sightings.note(sightings.of(item, report, image_of(release).versions))
