"""XML of libvirt networks, as a value. Pure.

Format: https://libvirt.org/formatnetwork.html. An active network is inside a ``<networkstatus>`` element in libvirt's
files.
"""

from __future__ import annotations

from dataclasses import dataclass

from lxml import etree

from ovnhook.base import uuids
from ovnhook.base.errors import InvalidRequest

_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True)
_MARK = "urn:ovnhook:network:1"
_BRIDGED = "bridge"
_USUAL = ("name", "uuid", "title", "description", "metadata", "forward", "bridge", "virtualport")


@dataclass(frozen=True)
class LibvirtNetwork:
    """A libvirt network.

    Attributes:
        bridge: its bridge, or "".
        default_portgroup: name of its default portgroup, or "".
        openvswitch: whether it has an openvswitch virtualport.
        openvswitch_portgroups: portgroups with an openvswitch virtualport.
        name: its name.
        uuid: its UUID.
        forward: its forward mode, or "".
        subnet: subnet in the metadata of a network that an agent has defined, or "".
        further: names of elements that the network of a subnet does not have.
    """

    bridge: str = ""
    default_portgroup: str = ""
    openvswitch: bool = False
    openvswitch_portgroups: frozenset[str] = frozenset()
    name: str = ""
    uuid: str = ""
    forward: str = ""
    subnet: str = ""
    further: frozenset[str] = frozenset()

    def has_virtualport(self, portgroup: str) -> bool:
        """Return whether interfaces of a portgroup, or of none, have an openvswitch virtualport."""
        return self.openvswitch or (portgroup or self.default_portgroup) in self.openvswitch_portgroups

    def is_of(self, subnet: str) -> bool:
        """Return whether an agent has defined it for a subnet. The metadata alone may have been copied by a user."""
        return (self.name, self.uuid, self.subnet) == (subnet, str(uuids.network(subnet)), subnet)

    def leads_to(self, bridge: str) -> bool:
        """Return whether interfaces without a portgroup are connected to a bridge of Open vSwitch."""
        return self.bridge == bridge and self.has_virtualport("")


def parse(xml: bytes) -> LibvirtNetwork:
    """Parse a network's XML.

    Raises:
        InvalidRequest: it is not the XML of a network.
    """
    try:
        root = etree.fromstring(xml, _PARSER)
    except etree.XMLSyntaxError as error:
        raise InvalidRequest(f"not the XML of a libvirt network: {error}") from error
    network = root if root.tag == "network" else root.find("network")
    if network is None:
        raise InvalidRequest(f"not the XML of a libvirt network, but of <{root.tag}>")
    groups = network.findall("portgroup[@name]")
    parameters = ["parameters"] if network.find("virtualport/*") is not None else []
    return LibvirtNetwork(
        bridge=_attribute(network, "bridge", "name"),
        default_portgroup=_attribute(network, "portgroup[@default='yes']", "name"),
        openvswitch=network.find("virtualport[@type='openvswitch']") is not None,
        openvswitch_portgroups=frozenset(
            group.get("name", "") for group in groups if group.find("virtualport[@type='openvswitch']") is not None
        ),
        name=network.findtext("name", "").strip(),
        uuid=network.findtext("uuid", "").strip(),
        forward=_attribute(network, "forward", "mode"),
        subnet=_attribute(network, f"metadata/{{{_MARK}}}subnet", "name"),
        further=frozenset({str(child.tag) for child in network if child.tag not in _USUAL} | {*parameters}),
    )


def subnet_network(subnet: str, bridge: str) -> LibvirtNetwork:
    """The network of a subnet.

    Args:
        subnet: name of the subnet.
        bridge: name of the integration bridge.
    """
    return LibvirtNetwork(
        bridge=bridge,
        openvswitch=True,
        name=subnet,
        uuid=str(uuids.network(subnet)),
        forward=_BRIDGED,
        subnet=subnet,
    )


def definition(network: LibvirtNetwork) -> str:
    """XML that defines the network of a subnet."""
    root = etree.Element("network")
    etree.SubElement(root, "name").text = network.name
    etree.SubElement(root, "uuid").text = network.uuid
    metadata = etree.SubElement(root, "metadata")
    etree.SubElement(metadata, f"{{{_MARK}}}subnet", {"name": network.subnet}, nsmap={"ovn": _MARK})
    etree.SubElement(root, "forward", {"mode": network.forward})
    etree.SubElement(root, "bridge", {"name": network.bridge})
    etree.SubElement(root, "virtualport", {"type": "openvswitch"})
    return etree.tostring(root, encoding="unicode")


def _attribute(network: etree._Element, path: str, name: str) -> str:
    """An attribute of an element of a network, or ""."""
    found = network.find(path)
    return "" if found is None else found.get(name, "")
