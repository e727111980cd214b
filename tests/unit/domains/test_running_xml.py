"""The XML of a domain that runs, in which interfaces come and go while the metadata stays."""

from __future__ import annotations

import pytest

from ovnhook.base.errors import InvalidRequest
from ovnhook.domains.domainxml import DomainXML
from ovnhook.domains.values import InterfaceType

XML = """<domain id='3'><name>web1</name><uuid>b0b760f6-c243-4921-961b-fb38061dec03</uuid>
<metadata><ovn:domain xmlns:ovn='urn:ovnhook:domain:1'>{metadata}</ovn:domain></metadata>
<devices><interface type='bridge'><mac address='52:54:00:00:00:01'/><source bridge='br-int'/>
<virtualport type='openvswitch'/><target dev='vnet0'/></interface>
<interface type='bridge'><mac address='52:54:00:00:00:02'/><source bridge='virbr0'/><target dev='vnet1'/></interface>
</devices></domain>"""


def unknown(_: str) -> None:
    """Nothing is known of any libvirt network."""


@pytest.mark.parametrize("name", ["mac='52:54:00:00:00:09'", "index='2'"])
def test_metadata_for_an_interface_that_is_not_there(name: str) -> None:
    """It fails a start, and is passed over while the domain runs; the others are as it says."""
    others = "<ovn:interface subnet='blue'/>"
    xml = XML.format(metadata=f"<ovn:interface {name} subnet='green'/>{others}").encode()
    with pytest.raises(InvalidRequest, match="domain web1: metadata: "):
        DomainXML(xml).domain("br-int", unknown)
    (interface,) = DomainXML(xml).domain("br-int", unknown, running=True).interfaces
    assert (interface.kind, interface.request.subnet) == (InterfaceType.BRIDGE, "blue")


def test_other_faults_of_the_metadata_are_no_better_while_it_runs() -> None:
    """They are told then, too."""
    for wrong in ("<ovn:interface mac='nonsense'/>", "<ovn:interface index='x'/>", "<ovn:interface subnet=''/>"):
        with pytest.raises(InvalidRequest):
            DomainXML(XML.format(metadata=wrong).encode()).domain("br-int", unknown, running=True)


def test_taps_are_those_of_all_interfaces() -> None:
    """Also of those that are not ours."""
    assert DomainXML(XML.format(metadata="").encode()).taps() == {"vnet0", "vnet1"}


@pytest.mark.parametrize(
    ("inbound", "unlimited"),
    [
        ("<inbound average='1000'/>", 1000),
        ("<inbound average='1000' burst='64'/>", 1000),
        ("<inbound average='1000' peak='2000'/>", 0),
        ("<outbound average='1000'/>", 0),
    ],
)
def test_a_bandwidth_that_limits_nothing(inbound: str, unlimited: int) -> None:
    """It has an average and no peak; what a guest sends is limited by its average."""
    bandwidth = f"<bandwidth>{inbound}</bandwidth><virtualport".encode()
    xml = XML.format(metadata="").encode().replace(b"<virtualport", bandwidth, 1)
    (interface,) = DomainXML(xml).domain("br-int", unknown, running=True).interfaces
    assert interface.unlimited == unlimited


def test_what_no_start_may_have_does_not_stop_what_runs() -> None:
    """A VLAN tag is noted beside the interface, which is ours all the same."""
    xml = XML.format(metadata="").encode().replace(b"<virtualport", b"<vlan><tag id='42'/></vlan><virtualport", 1)
    domain = DomainXML(xml).domain("br-int", unknown, running=True)
    assert [one.mac for one in domain.interfaces] == ["52:54:00:00:00:01"]
    (unsupported,) = domain.unsupported
    assert (unsupported.mac, "tag 42" in unsupported.what) == ("52:54:00:00:00:01", True)
