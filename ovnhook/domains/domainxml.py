"""XML of libvirt domains, as the hook reads it from its standard input, as a Domain. Pure.

Format: https://libvirt.org/formatdomain.html; ovnhook's metadata element: docs/reference/metadata.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from uuid import UUID

from lxml import etree
from netaddr import INET_PTON, IPAddress, valid_ipv4, valid_ipv6

from ovnhook.base.errors import InvalidRequest
from ovnhook.base.labels import HOST_NAME, HOST_NAMES, MAC, SUBNET_NAME, SUBNET_NAMES
from ovnhook.domains import optionattributes
from ovnhook.domains.networkxml import LibvirtNetwork
from ovnhook.domains.values import Domain, Interface, InterfaceRequest, InterfaceType, Unsupported
from ovnhook.resources.subnet.values import isolated_subnet

_NAMESPACES = "urn:ovnhook:domain:"
_NAMESPACE = f"{_NAMESPACES}1"
_ATTRIBUTES = ("mac", "index", "subnet", "isolated", "address", "hostname", "keep", *optionattributes.ATTRIBUTES)
_MOST_TAGS = 100_000
_NO_DOMAIN = "not the XML of a libvirt domain"

# The XML comes from libvirtd, but its metadata is user input.
_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True)

Networks = Callable[[str], LibvirtNetwork | None]
"""Looks up a libvirt network by name; None if it is unknown."""


class _NoSuchInterface(InvalidRequest):
    """Metadata for an interface that the domain does not have."""


class DomainXML:
    """The XML of a libvirt domain, parsed once.

    Args:
        xml: the whole ``<domain>`` element.

    Attributes:
        identity: the domain without interfaces and metadata, which is enough to detach it.

    Raises:
        InvalidRequest: it is not the XML of a domain.
    """

    def __init__(self, xml: bytes) -> None:
        self._root = _root(xml)
        self._interfaces = self._root.findall("devices/interface")
        self.identity = _identity(self._root, self._interfaces)

    def domain(self, bridge: str, network: Networks, *, running: bool = False) -> Domain:
        """Return the domain with its managed interfaces.

        An interface of ``type='network'`` is managed if libvirt has resolved it to the integration bridge. The XML of
        the ``start`` hook and later ones is resolved; before, such interfaces are ignored.

        Args:
            bridge: name of the integration bridge.
            network: looks up libvirt networks for properties that the domain's XML does not have.
            running: whether the domain is running. Then metadata for a missing interface is ignored: it was unplugged,
                or is yet to be plugged in.

        Raises:
            InvalidRequest: its metadata is invalid.
        """
        known, elements = self.identity, self._interfaces
        try:
            requests = _requests(self._root, elements, bridge, known, running=running)
            return replace(
                known,
                interfaces=tuple(_interfaces(elements, bridge, network, *requests)),
                unsupported=tuple(_unsupported(elements, bridge, network, requests[0])),
            )
        except InvalidRequest as error:
            raise error.within(f"domain {known.name}") from error

    def taps(self) -> frozenset[str]:
        """Return the tap names of all interfaces of a running domain, managed or not."""
        targets = self._root.findall("devices/interface/target")
        return frozenset(device for target in targets if (device := target.get("dev")))

    def belongings(self) -> tuple[tuple[str, str], ...]:
        """Return local resources, which an offline migration does not copy: disks, NVRAM, TPM state, host devices.

        Each is (description, path); the path is "" if it is not a single file or device. Network disks are not local.
        """
        found = []
        for disk in self._root.findall("devices/disk"):
            source, target = disk.find("source"), disk.find("target")
            if source is None or disk.get("type") == "network":
                continue
            path = next((path for key in ("file", "dev", "dir") if (path := source.get(key))), "")
            found.append((f"disk {target.get('dev')}" if target is not None else "a disk", path))
        for nvram in self._root.findall("os/nvram"):
            source = nvram.find("source")
            if nvram.get("type") != "network":
                path = source.get("file") if source is not None else nvram.text
                found.append(("NVRAM", (path or "").strip()))
        if self._root.find("devices/tpm/backend[@type='emulator']") is not None:
            found.append(("TPM", ""))
        if any(self._root.find(f"devices/{one}") is not None for one in ("hostdev", "interface[@type='hostdev']")):
            found.append(("host device", ""))
        return tuple(found)

    def hostnames(self, bridge: str) -> dict[str, str]:
        """Return the host names that the metadata requests, by MAC; none if the metadata is invalid."""
        try:
            requests, for_others = _requests(self._root, self._interfaces, bridge, self.identity, running=True)
        except InvalidRequest:
            return {}
        found = ((_mac(element), requests.get(index, for_others)) for index, element in enumerate(self._interfaces))
        return {mac: request.hostname for mac, request in found if request and request.hostname}


def _root(xml: bytes) -> etree._Element:
    # A domain has some hundreds. libvirt allows any number in metadata; parsing millions exceeds a start's deadline.
    if xml.count(b"<") > _MOST_TAGS:
        raise InvalidRequest(
            f"{_NO_DOMAIN} that can be parsed: it has more than {_MOST_TAGS} tags", "see its <metadata>"
        )
    try:
        root = etree.fromstring(xml, _PARSER)
    except etree.XMLSyntaxError as error:
        raise InvalidRequest(f"{_NO_DOMAIN}: {error}") from error
    # libvirt writes no DOCTYPE; refusing it prevents entity expansion.
    if root.getroottree().docinfo.internalDTD is not None:
        raise InvalidRequest(f"{_NO_DOMAIN}: it has a DOCTYPE")
    return root


def _identity(root: etree._Element, interfaces: list[etree._Element]) -> Domain:
    uuid, number = root.findtext("uuid", ""), root.get("id", "-1")
    try:
        known = Domain(UUID(uuid), root.findtext("name") or "")
    except ValueError as error:
        raise InvalidRequest(f"{_NO_DOMAIN}: its uuid is '{uuid}'") from error
    try:
        return replace(known, id=int(number), macs=tuple(filter(None, map(_mac, interfaces))))
    except ValueError as error:
        raise InvalidRequest(f"{_NO_DOMAIN}: its id is '{number}'") from error


def _mac(element: etree._Element) -> str:
    mac = element.find("mac")
    return "" if mac is None else mac.get("address", "").lower()


def _interfaces(
    elements: list[etree._Element],
    bridge: str,
    network: Networks,
    requests: dict[int, InterfaceRequest],
    for_others: InterfaceRequest | None,
) -> Iterator[Interface]:
    seen: set[str] = set()
    for index, element in enumerate(elements):
        request = requests.get(index)
        kind = _kind(element, bridge, named=request is not None)
        mac = _mac(element)
        if kind is None:
            if request and not _is_unresolved(element) and not _is_bare(element, bridge, network):
                raise InvalidRequest(
                    f"interface {mac}: the metadata names it, but it is not on bridge '{bridge}'",
                    "only an interface on that bridge with <virtualport type='openvswitch'/> can have a subnet",
                )
            continue
        if not MAC.fullmatch(mac):
            raise InvalidRequest(f"interface {index}: its MAC address is '{mac}'")
        if mac in seen:
            raise InvalidRequest(f"interface {mac}: two interfaces have this MAC address")
        seen.add(mac)
        yield _interface(element, kind, mac, request or for_others or InterfaceRequest(), network)


def _kind(element: etree._Element, bridge: str, *, named: bool) -> InterfaceType | None:
    """Type of a managed interface, or None if the interface is not managed."""
    if element.get("type") == "ethernet":
        return InterfaceType.ETHERNET if named else None
    source, virtualport = element.find("source"), element.find("virtualport")
    if element.get("type") != "bridge" or source is None or source.get("bridge") != bridge:
        return None
    if virtualport is None or virtualport.get("type") != "openvswitch":
        return None
    # A network that is resolved to a bridge is printed as type='bridge' with the network's name.
    return InterfaceType.NETWORK if source.get("network") else InterfaceType.BRIDGE


def _unsupported(
    elements: list[etree._Element], bridge: str, network: Networks, requests: dict[int, InterfaceRequest]
) -> Iterator[Unsupported]:
    """Unsupported settings in the XML of interfaces."""
    for index, element in enumerate(elements):
        source, mac = element.find("source"), _mac(element)
        name = "" if source is None else source.get("network", "")
        if _is_bare(element, bridge, network):
            where = (
                f"to libvirt network {name}: virsh net-edit {name}" if name else f"beside <source bridge='{bridge}'/>"
            )
            yield Unsupported(
                mac,
                f"it is on bridge '{bridge}' without <virtualport type='openvswitch'/>",
                f"add <virtualport type='openvswitch'/> {where}",
            )
        elif element.find("vlan") is not None and _kind(element, bridge, named=index in requests):
            tags = " ".join(tag.get("id", "") for tag in element.findall("vlan/tag"))
            where = f" of the domain or of libvirt network {name}" if name else ""
            yield Unsupported(
                mac,
                f"its <vlan> (tag {tags}) is not supported on OVN ports",
                f"remove <vlan>{where}; select a subnet by <ovn:interface mac='{mac}' subnet='NAME'/> in the metadata",
            )


def _is_bare(element: etree._Element, bridge: str, network: Networks) -> bool:
    """Return whether an interface is, or will be, on the integration bridge without an openvswitch virtualport."""
    source = element.find("source")
    if source is None or element.find("virtualport[@type='openvswitch']") is not None:
        return False
    if element.get("type") == "bridge":
        return bool(source.get("bridge") == bridge)
    if not _is_unresolved(element):
        return False
    there = network(source.get("network", ""))
    return there is not None and there.bridge == bridge and not there.has_virtualport(source.get("portgroup", ""))


def _is_unresolved(element: etree._Element) -> bool:
    """Return whether libvirt has yet to resolve an interface's network to a bridge."""
    source = element.find("source")
    return element.get("type") == "network" and (source is None or not source.get("bridge"))


def _interface(
    element: etree._Element, kind: InterfaceType, mac: str, request: InterfaceRequest, network: Networks
) -> Interface:
    source, target = element.find("source"), element.find("target")
    name, portgroup = ("", "") if source is None else (source.get("network", ""), source.get("portgroup", ""))
    if name and not portgroup and not request.subnet:
        portgroup = there.default_portgroup if (there := network(name)) else ""
    # libvirt generates a new interfaceid for a network's interface at each start.
    parameters = element.find("virtualport/parameters") if kind is InterfaceType.BRIDGE else None
    if element.find("bandwidth/*") is not None:
        options = optionattributes.beside_bandwidth(request.options, f"interface {mac}")
        request = replace(request, options=options)
    return Interface(
        mac=mac,
        kind=kind,
        request=request,
        interface_id="" if parameters is None else parameters.get("interfaceid", ""),
        device="" if target is None else target.get("dev", ""),
        network=name,
        portgroup=portgroup,
        mtu=_mtu(element),
        unlimited=_unlimited(element),
    )


def _mtu(element: etree._Element) -> int:
    size = element.find("mtu")
    text = "" if size is None else size.get("size", "")
    return _number(text)


def _unlimited(element: etree._Element) -> int:
    """Average of an inbound bandwidth without a peak: libvirt sets ``min-rate`` only, not ``max-rate``."""
    inbound = element.find("bandwidth/inbound")
    return 0 if inbound is None or inbound.get("peak") else _number(inbound.get("average", ""))


def _number(text: str) -> int:
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else 0


def _requests(
    root: etree._Element, elements: list[etree._Element], bridge: str, domain: Domain, *, running: bool
) -> tuple[dict[int, InterfaceRequest], InterfaceRequest | None]:
    """Requests in the metadata: by interface index, and the one for all other interfaces."""
    named: dict[int, etree._Element] = {}
    for_others: list[etree._Element] = []
    for element in _metadata(root):
        try:
            index = _index(element, elements)
        except _NoSuchInterface:
            if running:
                continue
            raise
        if index is None:
            for_others.append(element)
        elif index in named:
            raise InvalidRequest(f"interface {_mac(elements[index])}: two <interface> elements of the metadata name it")
        else:
            named[index] = element
    others = [
        _mac(element)
        for index, element in enumerate(elements)
        if index not in named and (_is_unresolved(element) or _kind(element, bridge, named=False))
    ]
    where = f"interface {', '.join(others)}" if others else "metadata"
    if len(for_others) > 1:
        raise InvalidRequest(f"{where}: two <interface> elements of the metadata have neither mac nor index")
    return (
        {index: _request(element, f"interface {_mac(elements[index])}", domain) for index, element in named.items()},
        _request(for_others[0], where, domain) if for_others else None,
    )


def _metadata(root: etree._Element) -> Iterator[etree._Element]:
    for top in root.findall("metadata/*"):
        name = etree.QName(top)
        if not (name.namespace or "").startswith(_NAMESPACES):
            continue
        if name.namespace != _NAMESPACE:
            raise InvalidRequest(f"metadata: unknown namespace '{name.namespace}'", f"use {_NAMESPACE}")
        if name.localname != "domain":
            raise InvalidRequest(f"metadata: unknown element <{name.localname}>, expected <domain>")
        if top.attrib:
            raise InvalidRequest(f"metadata: unknown attribute '{next(map(str, top.attrib))}' of <domain>")
        for element in top:
            child = etree.QName(element)
            if child.namespace != _NAMESPACE:
                raise InvalidRequest(f"metadata: element <{child.localname}> is of namespace '{child.namespace or ''}'")
            if child.localname != "interface":
                raise InvalidRequest(f"metadata: unknown element <{child.localname}>, expected <interface>")
            yield element


def _index(element: etree._Element, elements: list[etree._Element]) -> int | None:
    """Index of the interface that an element names, or None if it is for all others."""
    mac, index = element.get("mac"), element.get("index")
    if mac is not None and index is not None:
        raise InvalidRequest(f"metadata: mac='{mac}' and index='{index}' are mutually exclusive")
    if mac is not None:
        if not MAC.fullmatch(mac.lower()):
            raise InvalidRequest(f"metadata: mac='{mac}' is not a MAC address like 52:54:00:aa:bb:01")
        for position, candidate in enumerate(elements):
            if _mac(candidate) == mac.lower():
                return position
        raise _NoSuchInterface(f"metadata: mac='{mac}': the domain has no interface with this MAC address")
    if index is not None:
        if not re.fullmatch(r"[0-9]{1,4}", index):
            raise InvalidRequest(f"metadata: index='{index}' is not an interface number (the first is 0)")
        if int(index) >= len(elements):
            there = f"the last interface has index {len(elements) - 1}" if elements else "the domain has no interface"
            raise _NoSuchInterface(f"metadata: index='{index}': {there}")
        return int(index)
    return None


def _request(element: etree._Element, where: str, domain: Domain) -> InterfaceRequest:
    for name in map(str, element.attrib):
        if name not in _ATTRIBUTES:
            raise InvalidRequest(f"{where}: unknown attribute '{name}'", f"known attributes: {', '.join(_ATTRIBUTES)}")
    for child in element:
        raise InvalidRequest(f"{where}: unknown element <{etree.QName(child).localname}>")
    subnet, isolated, keep = element.get("subnet"), element.get("isolated", "no"), element.get("keep", "no")
    if subnet is not None and not SUBNET_NAME.fullmatch(subnet):
        raise InvalidRequest(f"{where}: subnet='{subnet}' is not a valid subnet name", SUBNET_NAMES)
    for name, value in (("isolated", isolated), ("keep", keep)):
        if value not in ("yes", "no"):
            raise InvalidRequest(f"{where}: {name}='{value}': expected yes or no")
    if subnet and isolated == "yes":
        raise InvalidRequest(f"{where}: subnet='{subnet}' and isolated='yes' are mutually exclusive")
    label = element.get("hostname")
    if label is not None and not HOST_NAME.fullmatch(label.lower()):
        raise InvalidRequest(f"{where}: hostname='{label}' is not a DNS label", HOST_NAMES)
    return InterfaceRequest(
        subnet=isolated_subnet(domain.uuid) if isolated == "yes" else subnet or "",
        isolated=isolated == "yes",
        keep=keep == "yes",
        addresses=_addresses(element.get("address"), where),
        hostname=(label or "").lower(),
        options=optionattributes.port_options({str(key): str(value) for key, value in element.items()}, where),
        security_groups=optionattributes.security_groups(element.get("security-groups"), where),
    )


def _addresses(value: str | None, where: str) -> tuple[IPAddress, ...]:
    if value is None:
        return ()
    addresses = []
    for word in value.split() or [value]:
        if not word.strip() or not (valid_ipv4(word, INET_PTON) or valid_ipv6(word)):
            raise InvalidRequest(f"{where}: address='{value}': '{word}' is not an IP address")
        addresses.append(IPAddress(word))
    if len({address.version for address in addresses}) < len(addresses):
        raise InvalidRequest(f"{where}: address='{value}': one IPv4 and one IPv6 address at most")
    return tuple(addresses)
