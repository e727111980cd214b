"""Machines that tests are given."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.packages.machine import Machine


@pytest.fixture(params=["bookworm", "trixie"])
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """A machine that has OVN and libvirt, and is on."""
    made = Machine(request.param)
    try:
        made.boot()
        yield made
    finally:
        made.remove()
