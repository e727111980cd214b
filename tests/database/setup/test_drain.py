"""``ovnhook node drain`` before any domain is touched."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from ovnhook.base.errors import InvalidRequest, NotFound, OvnhookError, Unavailable
from ovnhook.setup.drain.drain import DrainOptions, drain
from tests.database.control_service import Control
from tests.database.southbound_rows import add_chassis


@pytest.fixture
def run(control: Control) -> Callable[..., list[str]]:
    """Function that drains a node on host hv1; returns the progress messages."""

    def drain_node(name: str = "hv1", *to: str) -> list[str]:
        said: list[str] = []
        options = DrainOptions(name, to, "qemu+ssh://root@{node}/system", 1)
        drain(options, control.config, control.client(), said.append)
        return said

    return drain_node


def test_a_control_service_that_is_away(control: Control, run: Callable[..., list[str]]) -> None:
    """Nothing was done, and the error says what is needed."""
    control.service.stop()
    with pytest.raises(Unavailable, match="the control service is not running"):
        run()


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (("hv2",), InvalidRequest, "this host is node hv1, not hv2"),
        (("hv9",), NotFound, "there is no node 'hv9'"),
        (("hv1", "hv3"), Unavailable, "node hv3 is not ready: its agent has never reported"),
    ],
)
def test_nodes_that_can_not_be_had(
    control: Control, run: Callable[..., list[str]], arguments: tuple[str, ...], kind: type[OvnhookError], message: str
) -> None:
    """The control service knows the nodes, and when they reported."""
    for name in ("hv1", "hv2"):
        add_chassis(control.southbound, name, reports={"agent": "1", "seen": str(int(time.time()))})
    add_chassis(control.southbound, "hv3")
    with pytest.raises(kind) as caught:
        run(*arguments)
    assert caught.value.message == message
