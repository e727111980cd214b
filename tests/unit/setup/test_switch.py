"""Open vSwitch of a host: its name, and the cloud that it belongs to."""

from __future__ import annotations

import pytest

from ovnhook.base.config import Config
from ovnhook.base.errors import FailedPrecondition
from ovnhook.setup import central, switch


@pytest.mark.parametrize(
    ("asked", "ids", "name"),
    [
        ("", {}, "hv1"),
        ("", {"system-id": "6f1c"}, "hv1"),  # of Debian's making, and nobody knows it yet
        ("", {"system-id": "old", "ovn-remote": "unix:/s"}, "old"),
        ("old", {"system-id": "old", "ovn-remote": "unix:/s"}, "old"),
        ("new", {"system-id": "6f1c"}, "new"),
    ],
)
def test_what_a_host_is_called(asked: str, ids: dict[str, str], name: str) -> None:
    assert switch.name_for(asked, "hv1.example.org", ids) == name


def test_a_host_that_takes_part_keeps_its_name() -> None:
    with pytest.raises(FailedPrecondition, match="is part of OVN as old, not as new"):
        switch.name_for("new", "hv1", {"system-id": "old", "ovn-remote": "unix:/s"})


def test_a_host_of_another_cloud_is_refused() -> None:
    central.check_own(Config())
    with pytest.raises(FailedPrecondition, match="the northbound database is at tcp:192"):
        central.check_own(Config(northbound="tcp:192.0.2.10:6641"))
