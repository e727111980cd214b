"""Domain XML as libvirt hands it to the hook, what is read from it, and what becomes of it: tests/golden.

``NAME.xml`` is the input, ``NAME.plan`` what is made of it. ``pytest tests/unit/domains/test_golden.py --regenerate``
writes the plans anew; the difference is to be read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from lxml import etree
from netaddr import IPAddress, IPNetwork

from ovnhook.base.errors import OvnhookError
from ovnhook.domains import choice, domainxml, networkxml, plan
from ovnhook.domains.choice import Placement
from ovnhook.domains.domainxml import DomainXML
from ovnhook.domains.values import Domain, Interface
from ovnhook.resources.kind import Change, Need, Put
from ovnhook.resources.lease.values import Lease, LeaseIndex
from ovnhook.resources.port.options import DEFAULTS
from ovnhook.resources.port.values import Claim, Port
from ovnhook.resources.state import Observed, Registry
from ovnhook.resources.subnet import address
from ovnhook.resources.subnet.values import DnsRecords, Subnet, isolated_subnet
from ovnhook.resources.virtual_address.values import VirtualAddress, VirtualPort

GOLDEN = Path(__file__).parents[2] / "golden"
NAMES = sorted(path.stem for path in GOLDEN.glob("*.xml"))

OWN = isolated_subnet(UUID("b0b760f6-c243-4921-961b-fb38061dec03"))
"""The own subnet of the domain that all golden files are of."""

SUBNETS = {
    "default": Subnet("default", IPNetwork("10.0.0.0/24"), IPAddress("10.0.0.1"), default=True),
    "blue": Subnet(
        "blue", IPNetwork("10.1.0.0/24"), IPAddress("10.1.0.1"), resolvers=(IPAddress("10.1.0.200"),), records_until=0
    ),
    "green": Subnet("green", IPNetwork("10.2.0.0/24"), IPAddress("10.2.0.1")),
    OWN: Subnet(OWN, IPNetwork("10.224.0.0/28"), IPAddress("10.224.0.1"), "gateway", isolated=True),
}
OBSERVED = Observed(registry=Registry(3, "default"), subnets=SUBNETS)
"""The cloud of all golden files: three subnets and the domain's own, nothing in them."""

NETWORKS = {
    "default": networkxml.parse(b"<network><bridge name='virbr0'/></network>"),
    "groups": networkxml.parse(
        b"<networkstatus><network><bridge name='br-int'/><virtualport type='openvswitch'/>"
        b"<portgroup name='green'/><portgroup name='blue' default='yes'/></network></networkstatus>"
    ),
    "bare": networkxml.parse(b"<network><bridge name='br-int'/><portgroup name='green'/></network>"),
}
"""The libvirt networks of which more is known than the domains' XML says."""


@pytest.mark.parametrize("name", NAMES)
def test_what_becomes_of_a_domain(name: str, pytestconfig: pytest.Config) -> None:
    """The plan is the one that was read and found right."""
    made = "".join(f"{line}\n" for line in _lines((GOLDEN / f"{name}.xml").read_bytes()))
    expected = GOLDEN / f"{name}.plan"
    if pytestconfig.getoption("--regenerate"):
        expected.write_text(made)
    assert made == expected.read_text()


def test_every_plan_has_its_domain() -> None:
    """No plan is left over from a test that is gone."""
    assert sorted(path.stem for path in GOLDEN.glob("*.plan")) == NAMES


def test_every_attribute_is_exercised() -> None:
    """Each attribute that the metadata may have is in a golden file that works and in one that ends in an error."""
    uses: dict[bool, set[str]] = {True: set(), False: set()}
    for name in NAMES:
        works = "error: " not in (GOLDEN / f"{name}.plan").read_text()
        try:
            root = etree.fromstring((GOLDEN / f"{name}.xml").read_bytes())
        except etree.XMLSyntaxError:
            continue
        for element in root.iterfind(".//{urn:ovnhook:domain:1}interface"):
            uses[works] |= {str(attribute) for attribute in element.attrib}
    assert set(domainxml._ATTRIBUTES) <= uses[True]
    assert set(domainxml._ATTRIBUTES) <= uses[False]


@pytest.mark.parametrize("name", NAMES)
def test_the_domain_can_always_be_taken_off(name: str) -> None:
    """Whatever the metadata says, the domain is known by UUID and MACs, so that its ports can be removed."""
    xml = (GOLDEN / f"{name}.xml").read_bytes()
    try:
        domain = DomainXML(xml).identity
    except OvnhookError:
        assert "not the XML of a libvirt domain" in (GOLDEN / f"{name}.plan").read_text()
        return
    root = etree.fromstring(xml)
    assert str(domain.uuid) == root.findtext("uuid")
    assert list(domain.macs) == root.xpath("devices/interface/mac/@address")


def _lines(xml: bytes) -> Iterator[str]:
    """What is read from a domain's XML, and the changes that it leads to, or the error."""
    try:
        domain = DomainXML(xml).domain("br-int", NETWORKS.get)
        yield f"domain {domain.name}, {domain.uuid}, run {domain.id}"
        for interface in domain.interfaces:
            yield _interface(interface)
        foreign = [mac for mac in domain.macs if mac not in {interface.mac for interface in domain.interfaces}]
        if foreign:
            yield f"left alone: {' '.join(foreign)}"
        domain.refuse_unsupported()
        placements = [_place(domain, interface) for interface in domain.interfaces]
        changes = plan.attach(domain, "hv1", placements, OBSERVED) if placements else ()
        yield from map(_change, changes)
        if not changes:
            yield "nothing to do"
    except OvnhookError as error:
        syntax = isinstance(error.__cause__, etree.XMLSyntaxError)  # its text changes with the library's version
        yield f"error: {error.message.partition(': ')[0] + ': (syntax)' if syntax else error.message}"
        if error.hint:
            yield f"hint: {error.hint}"


def _place(domain: Domain, interface: Interface) -> Placement:
    """The subnet that it goes to, and what it asks for or the first address that comes to mind."""
    try:
        subnet = choice.choose_subnet(interface, "default", SUBNETS)
        for wanted in interface.request.addresses:
            address.check(subnet, wanted)
    except OvnhookError as error:
        raise error.within(f"domain {domain.name}: interface {interface.mac}") from error
    first = next(address.candidates(subnet, subnet.cidr, f"{domain.uuid}/{interface.mac}"))
    name = choice.host_name(domain, interface.request.hostname, subnet, (), ())
    return Placement(interface, subnet, interface.request.addresses or (first,), name)


def _interface(interface: Interface) -> str:
    request = interface.request
    words = {
        "subnet": request.subnet,
        "isolated": "yes" if request.isolated else "",
        "address": " ".join(map(str, request.addresses)),
        "hostname": request.hostname,
        "keep": "yes" if request.keep else "",
        "options": "" if request.options == DEFAULTS else str(request.options),
        "security groups": "" if request.security_groups is None else " ".join(request.security_groups) or "none",
        "interfaceid": interface.interface_id,
        "device": interface.device,
        "network": interface.network,
        "portgroup": interface.portgroup,
    }
    said = "".join(f", {word} {value}" for word, value in words.items() if value)
    return f"interface {interface.mac}: {interface.kind.value}{said}"


def _change(change: Change) -> str:
    match change:
        case Need(_, Subnet() as subnet):
            return f"need subnet {subnet.name}"
        case Put(_, None, Lease() as lease):
            kept = ", kept" if lease.keep else ""
            words = f"{lease.mac}, hostname {lease.hostname}, run {lease.run}{kept}"
            return f"add lease {lease.subnet} {lease.address}: {words}"
        case Put(_, None, Claim() as claim):
            return f"claim MAC {claim.subnet} {claim.mac}"
        case Put(_, None, Port() as port):
            addresses = " ".join(map(str, port.addresses))
            options = "" if port.options == DEFAULTS else f", {port.options}"
            groups = f", security groups {' '.join(port.security_groups)}" if port.security_groups else ""
            where = f"subnet {port.subnet}, host {port.host}"
            return f"add port {port.id}: {port.mac} {addresses}, {where}{options}{groups}"
        case Put(_, DnsRecords(subnet, {}), DnsRecords(_, records)):
            return f"set names {subnet}: {', '.join(f'{name} {value}' for name, value in records.items())}"
        case Put(_, None, LeaseIndex() as new):
            held = ", ".join(f"{mac} {subnet} {where}" for mac, subnet, where in new.leases)
            return f"set holding: {held}"
        case Put(_, None, VirtualAddress() as virtual):
            return f"add virtual address {virtual.subnet} {virtual.address}: {' '.join(virtual.domains)}"
        case Put(_, None, VirtualPort() as bound):
            return f"add virtual port {bound.name}: {' '.join(bound.parents)}"
        case _:
            raise AssertionError(f"nothing is there that {change} could change")
