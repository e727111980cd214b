"""One cloud for all tests of this folder, and after each test a look at what it left behind."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from lab import LabCloud
from tests.cloud.world import World


@pytest.fixture(scope="session")
def session_world() -> Iterator[World]:
    """A cloud with two subnets, and rows that are not ours."""
    with LabCloud(f"t{os.getpid()}") as cloud:
        world = World(cloud)
        world.set_long_deadline()
        # Tests ask for addresses outside the ranges: nobody else may have got one of these by chance.
        world.ovnhook("subnet", "create", "default", "10.10.0.0/24", "--default", "--range", "10.10.0.100-10.10.0.239")
        world.ovnhook("subnet", "create", "green", "10.20.0.0/24", "--range", "10.20.0.100-10.20.0.199")
        world.make_foreign_rows()
        yield world


@pytest.fixture
def world(session_world: World, request: pytest.FixtureRequest) -> Iterator[World]:
    """The cloud without a domain in it; afterwards nothing of the test's is left, and what is foreign is as it was."""
    foreign = session_world.foreign_rows()
    yield session_world
    if request.node.stash.get(FAILED, False):
        print(session_world.cloud.logs())
    session_world.make_whole()
    session_world.remove_domains()
    session_world.wait_for(lambda: not session_world.left_over(), "nothing to be left over", session_world.left_over)
    assert session_world.foreign_rows() == foreign


FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(hookwrapper=True)  # type: ignore[untyped-decorator]
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Let the fixtures know that the test failed."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if report.when == "call" and report.failed:
        item.stash[FAILED] = True
