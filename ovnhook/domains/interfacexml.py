"""Interface XML for API clients that define a libvirt domain themselves. Pure."""

from __future__ import annotations

from lxml import etree


def interface_xml(interface_id: str, mac: str, bridge: str, mtu: int) -> str:
    """An ``<interface>`` element that libvirt binds to a port.

    Args:
        interface_id: UUID of the port.
        mac: the MAC address.
        bridge: name of the integration bridge.
        mtu: bytes.
    """
    element = etree.Element("interface", type="bridge")
    etree.SubElement(element, "mac", address=mac)
    etree.SubElement(element, "source", bridge=bridge)
    port = etree.SubElement(element, "virtualport", type="openvswitch")
    etree.SubElement(port, "parameters", interfaceid=interface_id)
    etree.SubElement(element, "mtu", size=str(mtu))
    etree.SubElement(element, "model", type="virtio")
    return str(etree.tostring(element, encoding="unicode", pretty_print=True))
