"""Errors of libvirt's own library, as the agent words them."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

pytest.importorskip("libvirt")  # which PyPI's newest needs libvirt's headers for

import libvirt

from ovnhook.agent import hypervisor


@pytest.mark.parametrize("dead", [False, True])
def test_a_host_without_libvirt(tmp_path: Path, *, dead: bool) -> None:
    """As the agent of a gateway host is told by libvirt's own library."""
    path = tmp_path / "s"
    if dead:
        with socket.socket(socket.AF_UNIX) as gone:
            gone.bind(str(path))
    with pytest.raises(libvirt.libvirtError) as caught:
        libvirt.open(f"qemu+unix:///system?socket={path}")
    error = hypervisor._unavailable(caught.value)
    assert error.message == "libvirt is not running on this host: nothing to compare"
    assert "systemctl start libvirtd" in error.hint
    assert "ovnhook status" in error.hint


def test_another_error_of_libvirts() -> None:
    """Is told in libvirt's words."""
    with pytest.raises(libvirt.libvirtError) as caught:
        libvirt.open("test:///default").lookupByName("nobody")
    assert hypervisor._unavailable(caught.value).message.startswith("libvirt: ")
