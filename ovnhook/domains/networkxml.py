"""XML of libvirt networks in libvirt's files, as a value. Pure.

Format: https://libvirt.org/formatnetwork.html. An active network is inside a ``<networkstatus>`` element.
"""

from __future__ import annotations

from dataclasses import dataclass

from lxml import etree

from ovnhook.base.errors import InvalidRequest

_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True)


@dataclass(frozen=True)
class LibvirtNetwork:
    """A libvirt network.

    Attributes:
        bridge: its bridge, or "".
        default_portgroup: name of its default portgroup, or "".
        openvswitch: whether it has an openvswitch virtualport.
        openvswitch_portgroups: portgroups with an openvswitch virtualport.
    """

    bridge: str = ""
    default_portgroup: str = ""
    openvswitch: bool = False
    openvswitch_portgroups: frozenset[str] = frozenset()

    def has_virtualport(self, portgroup: str) -> bool:
        """Return whether interfaces of a portgroup, or of none, have an openvswitch virtualport."""
        return self.openvswitch or (portgroup or self.default_portgroup) in self.openvswitch_portgroups


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
    bridge = network.find("bridge")
    default = network.find("portgroup[@default='yes']")
    groups = network.findall("portgroup[@name]")
    return LibvirtNetwork(
        bridge="" if bridge is None else bridge.get("name", ""),
        default_portgroup="" if default is None else default.get("name", ""),
        openvswitch=network.find("virtualport[@type='openvswitch']") is not None,
        openvswitch_portgroups=frozenset(
            group.get("name", "") for group in groups if group.find("virtualport[@type='openvswitch']") is not None
        ),
    )
