"""libvirt's files of networks, as they are and as they should not be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ovnhook.agent import libvirtfiles

DEFINED = """<!-- WARNING: THIS IS AN AUTO-GENERATED FILE. -->
<network><name>ovs</name><bridge name='br-int'/><portgroup name='old' default='yes'/></network>"""
ACTIVE = """<!-- WARNING: THIS IS AN AUTO-GENERATED FILE. -->
<networkstatus><class_id bitmap='0-2'/><network><name>ovs</name><bridge name='br-int'/>
<portgroup name='green' default='no'><virtualport type='openvswitch'/></portgroup><portgroup name='blue' default='yes'/>
</network></networkstatus>"""


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Where libvirt would have them."""
    found = tmp_path / "run", tmp_path / "etc"
    for one in found:
        one.mkdir()
    monkeypatch.setattr(libvirtfiles, "FOLDERS", found)
    return found


def test_as_it_is_at_the_moment(folders: tuple[Path, Path]) -> None:
    """An active network is what its users have; its definition may be another one by now."""
    active, defined = folders
    (defined / "ovs.xml").write_text(DEFINED)
    network = libvirtfiles.network("ovs")
    assert network is not None
    assert network.default_portgroup == "old"
    (active / "ovs.xml").write_text(ACTIVE)
    network = libvirtfiles.network("ovs")
    assert network is not None
    assert (network.bridge, network.default_portgroup) == ("br-int", "blue")
    assert [network.has_virtualport(group) for group in ("green", "blue", "")] == [True, False, False]


@pytest.mark.parametrize(
    "content", [b"", b"<network>", b"<domain/>", b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", b"<a/>" * (1 << 19)]
)
def test_what_can_not_be_understood_is_logged(
    folders: tuple[Path, Path], caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    """No start fails for it."""
    (folders[0] / "ovs.xml").write_bytes(content)
    assert libvirtfiles.network("ovs") is None
    assert "libvirt network ovs: its default portgroup is unknown: " in caplog.text


def test_what_can_not_be_read_is_logged(folders: tuple[Path, Path], caplog: pytest.LogCaptureFixture) -> None:
    """Neither a folder nor a pipe in its place makes anybody wait."""
    (folders[0] / "folder.xml").mkdir()
    os.mkfifo(folders[0] / "pipe.xml")
    for name in ("folder", "pipe", "nowhere"):
        assert libvirtfiles.network(name) is None
        assert f"libvirt network {name}: its default portgroup is unknown: " in caplog.text


@pytest.mark.parametrize("name", ["", "../etc/ovs", "/etc/passwd"])
def test_no_other_file_is_read(folders: tuple[Path, Path], name: str) -> None:
    """A name is no path."""
    (folders[1] / "ovs.xml").write_text(DEFINED)
    assert libvirtfiles.network(name) is None
