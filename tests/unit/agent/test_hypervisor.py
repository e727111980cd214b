"""Errors of libvirt's own library, as the agent words them."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

pytest.importorskip("libvirt")  # which PyPI's newest needs libvirt's headers for

import libvirt

from ovnhook.agent import hypervisor, libvirtevents


@pytest.mark.parametrize("dead", [False, True])
def test_a_host_without_libvirt(tmp_path: Path, *, dead: bool) -> None:
    """As the agent of a gateway host is told by libvirt's own library."""
    path = tmp_path / "s"
    if dead:
        with socket.socket(socket.AF_UNIX) as gone:
            gone.bind(str(path))
    with pytest.raises(libvirt.libvirtError) as caught:
        libvirt.open(f"qemu+unix:///system?socket={path}")
    error = libvirtevents.unavailable(caught.value)
    assert error.message == "libvirt is not running on this host: nothing to compare"
    assert "systemctl start libvirtd" in error.hint
    assert "ovnhook status" in error.hint


def test_another_error_of_libvirts() -> None:
    """Is told in libvirt's words."""
    with pytest.raises(libvirt.libvirtError) as caught:
        libvirt.open("test:///default").lookupByName("nobody")
    assert libvirtevents.unavailable(caught.value).message.startswith("libvirt: ")


def test_who_connects_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """What libvirt has begun before that, nobody says the end of."""
    monkeypatch.setattr(libvirtevents, "_URI", "test:///default")
    for missing in ("setKeepAlive", "registerCloseCallback"):  # in libvirt's test driver
        monkeypatch.setattr(libvirt.virConnect, missing, lambda *_: 0)
    told: list[str] = []

    def listener(name: str) -> Callable[..., None]:
        return lambda *_: told.append(name)

    listeners = hypervisor.Listeners(**{each.name: listener(each.name) for each in fields(hypervisor.Listeners)})
    found = hypervisor.Hypervisor(listeners).domains({}, (), {})
    assert len(found.domains) == 1
    assert told == ["connected"]
