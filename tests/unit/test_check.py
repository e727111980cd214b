"""``ovnhook check`` on a host that has nothing to compare: the error says so, and what to do instead."""

from __future__ import annotations

import socket
from pathlib import Path

import libvirt
import pytest

from ovnhook.agent import hypervisor
from ovnhook.cli import check
from ovnhook.cli.main import main


@pytest.mark.parametrize("dead", [False, True])
def test_a_host_without_an_agent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, dead: bool
) -> None:
    """Never installed, or dead."""
    path = tmp_path / "s"
    if dead:
        with socket.socket(socket.AF_UNIX) as gone:
            gone.bind(str(path))
    monkeypatch.setattr(check, "AGENT_SOCKET", path)
    assert main(["check"]) == 7
    error, hint = capsys.readouterr().err.splitlines()
    assert error.startswith("error: no agent runs on this host")
    assert "systemctl start ovnhook-agent" in hint
    assert "ovnhook status" in hint


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
    assert error.message == "libvirt does not run on this host: there is nothing to compare"
    assert "systemctl start libvirtd" in error.hint
    assert "ovnhook status" in error.hint


def test_another_error_of_libvirts() -> None:
    """Is told in libvirt's words."""
    with pytest.raises(libvirt.libvirtError) as caught:
        libvirt.open("test:///default").lookupByName("nobody")
    assert hypervisor._unavailable(caught.value).message.startswith("libvirt: ")
