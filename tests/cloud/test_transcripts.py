"""The transcripts of README and of the tutorial, typed in a lab of their own: each output is as it is written there."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import LabCloud
from lab.waiting import HANG, until
from tests.cloud.transcript import TranscriptStep, Values, steps
from tests.cloud.world import World

REPO = Path(__file__).resolve().parents[2]
MACHINE = "machine"
"""The prompt of the machine that the lab is on."""


@pytest.fixture
def empty() -> Iterator[World]:
    """A cloud that nothing has been made in."""
    with LabCloud(f"d{os.getpid()}") as cloud:
        world = World(cloud)
        world.set_long_deadline()
        yield world
        world.remove_domains()


def test_readme(empty: World) -> None:
    """Its two domains have the interface that README shows."""
    page = (REPO / "README.md").read_text()
    interface = re.search(r"```xml\n(<interface.*?)</interface>\n```", page, re.DOTALL)
    assert interface
    for host, name in ((empty.hv1, "web1"), (empty.hv2, "web2")):
        empty.define(host, name, f"{interface[1]}<rom enabled='no'/></interface>")
    follow(empty, page)


def test_tutorial(empty: World) -> None:
    """From a lab that is just up to the end of the page."""
    follow(empty, (REPO / "docs" / "tutorial" / "first-network.md").read_text())


def follow(world: World, page: str) -> None:
    """Type all commands of a page, in order."""
    values = Values()
    for step in steps(page):
        perform(world, step, values)


def perform(world: World, step: TranscriptStep, values: Values) -> None:
    """Type a command; one that may be typed twice until the network is as far as the page."""
    command = values.typed(step.command)
    said = ""

    def fits() -> bool:
        nonlocal said
        said = typed(world, step, command)
        return values.fit(step.output, said)

    def shown() -> str:
        return "\n".join(["the page has:", *step.output, "but it is:", said])

    if _is_once(step):
        assert fits(), f"{step.where}: {command}: {shown()}"
    else:
        until(fits, HANG, f"the output of {command} on {step.where} to be that of the page", shown)


def _is_once(step: TranscriptStep) -> bool:
    """Whether a command can't be typed twice."""
    return step.where == MACHINE or re.match(r"virsh (start|destroy|undefine|define)\b", step.command) is not None


def typed(world: World, step: TranscriptStep, command: str) -> str:
    """What a command prints, on stdout and then on stderr, whatever its exit status is."""
    if step.in_guest:
        guest = world.cloud.guest(step.where)
        guest.wait_address()
        return guest.console(command, check=False)
    if step.where == MACHINE:
        words = command.replace("lab/lab", f"lab/lab --prefix {world.cloud.prefix}")
        done = subprocess.run(words, shell=True, cwd=REPO, capture_output=True, text=True, timeout=HANG, check=False)
    else:
        done = world.cloud.host(step.where).run(["/bin/sh", "-c", command], check=False)
    return done.stdout + done.stderr
