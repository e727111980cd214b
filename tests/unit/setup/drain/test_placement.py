"""Which nodes domains may go to, and which comes first; what of a domain does not go along."""

from __future__ import annotations

import pytest

from ovnhook.base.errors import InvalidRequest, NotFound, OvnhookError, Unavailable
from ovnhook.domains.domainxml import DomainXML
from ovnhook.setup.drain.placement import emptiest_first, is_shared, targets

SEEN = {"hv1": 0, "hv2": 89, "hv3": 91, "hv4": None, "hv5": 5}


def test_those_that_are_there() -> None:
    assert targets(SEEN, "hv1", ()) == ("hv2", "hv5")
    assert targets(SEEN, "hv5", ()) == ("hv1", "hv2")


def test_those_that_were_wanted() -> None:
    assert targets(SEEN, "hv1", ("hv5", "hv2", "hv5")) == ("hv5", "hv2")


@pytest.mark.parametrize(
    ("wanted", "kind", "message"),
    [
        ("hv1", InvalidRequest, "--to hv1: cannot be the drained node itself"),
        ("hv9", NotFound, "there is no node 'hv9'"),
        ("hv3", Unavailable, "node hv3 is not ready: its agent last reported 91 s ago"),
        ("hv4", Unavailable, "node hv4 is not ready: its agent has never reported"),
    ],
)
def test_one_that_can_not_be_had(wanted: str, kind: type[OvnhookError], message: str) -> None:
    with pytest.raises(kind) as raised:
        targets(SEEN, "hv1", ("hv2", wanted))
    assert (type(raised.value), raised.value.message) == (kind, message)


def test_the_emptiest_first() -> None:
    assert emptiest_first({"hv3": 1, "hv2": 1, "hv1": 7, "hv4": 0}) == ("hv4", "hv2", "hv3", "hv1")


@pytest.mark.parametrize(("filesystem", "shared"), [("nfs4", True), ("ceph", True), ("ext4", False), ("", False)])
def test_filesystems(filesystem: str, shared: bool) -> None:
    assert is_shared(filesystem) is shared


XML = """<domain><name>web1</name><uuid>b0b760f6-c243-4921-961b-fb38061dec03</uuid><os>{os}</os>
<devices>{devices}<tpm model='tpm-crb'><backend type='{tpm}'/></tpm></devices></domain>"""


@pytest.mark.parametrize(
    ("os", "devices", "tpm", "found"),
    [
        ("", "", "passthrough", []),
        ("", "", "emulator", [("TPM", "")]),
        ("<nvram>/n.fd</nvram>", "", "", [("NVRAM", "/n.fd")]),
        ("<nvram type='file'><source file='/n.fd'/></nvram>", "", "", [("NVRAM", "/n.fd")]),
        ("<nvram type='network'><source protocol='nbd'/></nvram>", "", "", []),
        ("<nvram template='/t.fd'/>", "", "", [("NVRAM", "")]),
        ("", "<disk type='file'><source file='/a'/><target dev='vda'/></disk>", "", [("disk vda", "/a")]),
        ("", "<disk type='block'><source dev='/dev/a'/><target dev='vdb'/></disk>", "", [("disk vdb", "/dev/a")]),
        ("", "<disk type='volume'><source pool='p' volume='v'/><target dev='vdc'/></disk>", "", [("disk vdc", "")]),
        ("", "<disk type='network'><source protocol='rbd' name='p/v'/><target dev='vdd'/></disk>", "", []),
        ("", "<disk type='file' device='cdrom'><target dev='sda'/></disk>", "", []),
        ("", "<hostdev mode='subsystem' type='pci'/>", "", [("host device", "")]),
        ("", "<interface type='hostdev'/>", "", [("host device", "")]),
        ("", "<interface type='bridge'/>", "", []),
    ],
)
def test_what_a_domain_has_beside_its_definition(os: str, devices: str, tpm: str, found: list[tuple[str, str]]) -> None:
    assert DomainXML(XML.format(os=os, devices=devices, tpm=tpm).encode()).belongings() == tuple(found)
