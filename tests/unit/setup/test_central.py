"""The central databases of a host before it takes part: those that others write to are refused."""

from __future__ import annotations

import pytest

from ovnhook.base.errors import FailedPrecondition
from ovnhook.setup import central


@pytest.mark.parametrize(
    "target",
    [
        "punix:/run/ovn/ovnnb_db.sock",
        "db:OVN_Northbound,NB_Global,connections",
        "pssl:6641",
        "ptcp:6641:127.0.0.1",
        "ptcp:6641:[::1]",
    ],
)
def test_a_database_that_others_do_not_write_to(target: str) -> None:
    central.check_private("northbound", "ovn-nbctl", [target])


@pytest.mark.parametrize("target", ["ptcp:6641", "ptcp:6641:0.0.0.0", "ptcp:6641:192.0.2.1", "ptcp:6641:[::]"])
def test_a_database_that_others_write_to(target: str) -> None:
    with pytest.raises(FailedPrecondition, match="listens on ptcp:6641"):
        central.check_private("northbound", "ovn-nbctl", ["pssl:6641", target])
