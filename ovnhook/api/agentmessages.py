"""Messages of the service ``Agents`` as values, and back. Pure.

A domain in a request is checked: the host that sent it may be compromised. What the control service sends is trusted.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never
from uuid import UUID

from netaddr import IPAddress, IPNetwork

from ovnhook.api import hints, messages
from ovnhook.api.optionmessages import option_fields, options_of, requested_options
from ovnhook.api.v1 import agents_pb2 as api
from ovnhook.api.v1.security_groups_pb2 import SecurityGroupNames
from ovnhook.base.errors import InvalidRequest, OvnhookError
from ovnhook.base.labels import HOST_NAME, MAC
from ovnhook.domains.inventory import HostObject
from ovnhook.domains.requests import check_unique, interface_request
from ovnhook.domains.values import Domain, Interface, InterfaceType, Unsupported
from ovnhook.resources.hostvalues import HostName, HostResolver, HostRouter, HostSubnet
from ovnhook.resources.lease.values import Lease, LeaseIndex
from ovnhook.resources.port.values import Owner, Port
from ovnhook.resources.router.values import InterfaceAddress

MAX_INTERFACES = 64
"""Interfaces of one domain in OVN."""

MAX_MACS = 1024
"""Interfaces of one domain, in OVN or not."""

_MAX_TEXT = 1024  # characters of a name or a sentence
_IDS = range(-1, 1 << 31)  # libvirt's IDs of domains


def domain_message(domain: Domain) -> api.LibvirtDomain:
    """Message of a domain, without the taps of its interfaces."""
    return api.LibvirtDomain(
        uuid=str(domain.uuid),
        name=domain.name,
        id=domain.id,
        interfaces=map(_interface_message, domain.interfaces),
        macs=domain.macs,
        defined_only_macs=domain.defined_only_macs,
        unsupported=[api.UnsupportedSetting(mac=one.mac, what=one.what, hint=one.hint) for one in domain.unsupported],
        hostnames=dict(domain.hostnames),
    )


def domain_of(message: api.LibvirtDomain) -> Domain:
    """Domain of a message.

    Raises:
        InvalidRequest: invalid value.
    """
    for field, text in messages.texts(message):
        if len(text) > _MAX_TEXT:
            raise InvalidRequest(f"domain.{field}: more than {_MAX_TEXT} characters")
    uuid = uuid_of(message.uuid, "domain.uuid")
    if message.id not in _IDS:
        raise InvalidRequest(f"domain.id {message.id}: expected -1 or a positive number")
    if len(message.interfaces) > MAX_INTERFACES:
        raise InvalidRequest(
            f"domain {message.name}: {len(message.interfaces)} interfaces: expected at most {MAX_INTERFACES}"
        )
    interfaces = tuple(_interface_of(one, uuid, message.name) for one in message.interfaces)
    hostnames = tuple((_mac(mac), _label(name)) for mac, name in sorted(message.hostnames.items()))
    macs = _macs(message.macs)
    check_unique(message.name, (one.mac for one in interfaces))
    if missing := {one.mac for one in interfaces} - {*macs}:
        raise InvalidRequest(f"domain.macs: {', '.join(sorted(missing))} of its interfaces is missing")
    return Domain(
        uuid=uuid,
        name=message.name or message.uuid,
        id=message.id,
        interfaces=interfaces,
        macs=macs,
        defined_only_macs=_macs(message.defined_only_macs),
        unsupported=tuple(Unsupported(_mac(one.mac), one.what, one.hint) for one in message.unsupported[:MAX_MACS]),
        hostnames=hostnames,
    )


def port_message(port: Port) -> api.HostPort:
    """Message of a port."""
    return api.HostPort(
        id=port.id,
        subnet=port.subnet,
        mac=port.mac,
        addresses=map(str, port.addresses),
        domain=str(port.domain),
        domain_name=port.domain_name,
        host=port.host,
        kept_by=port.kept_by.value,
        moving_to=port.moving_to,
        changed=not port.intact,
        foreign_settings=port.foreign,
        security_groups=SecurityGroupNames(names=port.security_groups),
        names_groups=port.names_groups,
        **option_fields(port.options),
    )


def port_of(message: api.HostPort) -> Port:
    """Port of a message."""
    return Port(
        id=message.id,
        subnet=message.subnet,
        mac=message.mac,
        addresses=tuple(map(IPAddress, message.addresses)),
        domain=UUID(message.domain),
        domain_name=message.domain_name,
        host=message.host,
        kept_by=Owner(message.kept_by),
        moving_to=message.moving_to,
        security_groups=tuple(message.security_groups.names),
        names_groups=message.names_groups,
        intact=not message.changed,
        options=options_of(message),
        foreign=tuple(message.foreign_settings),
    )


def leases_message(lease_index: LeaseIndex) -> api.DomainLeases:
    """Message of a lease index."""
    return api.DomainLeases(
        domain=str(lease_index.domain),
        domain_name=lease_index.domain_name,
        host=lease_index.host,
        moving_to=lease_index.moving_to,
        requested_by=lease_index.requested_by,
        kept_by=lease_index.kept_by.value,
        leases=[
            api.LeasedAddress(mac=mac, subnet=subnet, address=str(address))
            for mac, subnet, address in lease_index.leases
        ],
    )


def lease_index_of(message: api.DomainLeases) -> LeaseIndex:
    """Lease index of a message."""
    return LeaseIndex(
        domain=UUID(message.domain),
        domain_name=message.domain_name,
        host=message.host,
        leases=tuple((one.mac, one.subnet, IPAddress(one.address)) for one in message.leases),
        kept_by=Owner(message.kept_by),
        moving_to=message.moving_to,
        requested_by=message.requested_by,
    )


def lease_message(lease: Lease) -> api.HostLease:
    """Message of a lease."""
    return api.HostLease(
        subnet=lease.subnet,
        address=str(lease.address),
        domain=str(lease.domain),
        domain_name=lease.domain_name,
        mac=lease.mac,
        hostname=lease.hostname,
        host=lease.host,
        keep=lease.keep,
    )


def lease_of(message: api.HostLease) -> Lease:
    """Lease of a message."""
    return Lease(
        subnet=message.subnet,
        address=IPAddress(message.address),
        domain=UUID(message.domain),
        domain_name=message.domain_name,
        mac=message.mac,
        hostname=message.hostname,
        host=message.host,
        run="",
        keep=message.keep,
    )


def subnet_message(subnet: HostSubnet) -> api.HostSubnet:
    """Message of a subnet."""
    resolver = subnet.resolver
    return api.HostSubnet(
        name=subnet.name,
        mtu=subnet.mtu,
        networks=map(str, subnet.networks),
        gateways=map(str, subnet.gateways),
        router=subnet.router,
        dns_domain=subnet.dns_domain,
        isolated=subnet.isolated,
        default=subnet.default,
        dns=map(str, subnet.dns),
        resolver=resolver
        and api.HostResolver(port=resolver.port, mac=resolver.mac, addresses=map(str, resolver.addresses)),
    )


def subnet_of(message: api.HostSubnet) -> HostSubnet:
    """Subnet of a message."""
    resolver = message.resolver
    return HostSubnet(
        name=message.name,
        mtu=message.mtu,
        networks=tuple(map(IPNetwork, message.networks)),
        gateways=tuple(map(IPAddress, message.gateways)),
        router=message.router,
        dns_domain=message.dns_domain,
        isolated=message.isolated,
        default=message.default,
        dns=tuple(map(IPAddress, message.dns)),
        resolver=HostResolver(resolver.port, resolver.mac, tuple(map(IPAddress, resolver.addresses)))
        if message.HasField("resolver")
        else None,
    )


def name_message(name: HostName) -> api.HostName:
    """Message of a host name."""
    return api.HostName(subnet=name.subnet, hostname=name.hostname, address=str(name.address))


def name_of(message: api.HostName) -> HostName:
    """Host name of a message."""
    return HostName(message.subnet, message.hostname, IPAddress(message.address))


def router_message(router: HostRouter) -> api.HostRouter:
    """Message of a router."""
    return api.HostRouter(
        name=router.name,
        physical_network=router.physical_network,
        vlan=router.vlan,
        addresses=map(str, router.addresses),
        next_hops=map(str, router.next_hops),
        mac=router.mac,
    )


def router_of(message: api.HostRouter) -> HostRouter:
    """Router of a message."""
    networks = map(IPNetwork, message.addresses)
    return HostRouter(
        name=message.name,
        physical_network=message.physical_network,
        vlan=message.vlan,
        addresses=tuple(InterfaceAddress(network.ip, network.prefixlen) for network in networks),
        next_hops=tuple(map(IPAddress, message.next_hops)),
        mac=message.mac,
    )


def name_id(lease: str) -> str:
    """ID of the host name of a lease in streams: a host that has the lease, too, has both.

    Args:
        lease: UUID of its row.
    """
    return f"name/{lease}"


def object_message(value: HostObject) -> api.HostObject:
    """Message of an object that concerns a host."""
    id = str(value.uuid)
    match value:
        case Port():
            return api.HostObject(id=id, port=port_message(value))
        case LeaseIndex():
            return api.HostObject(id=id, leases=leases_message(value))
        case Lease():
            return api.HostObject(id=id, lease=lease_message(value))
        case HostSubnet():
            return api.HostObject(id=id, subnet=subnet_message(value))
        case HostName():
            return api.HostObject(id=name_id(id), name=name_message(value))
        case HostRouter():
            return api.HostObject(id=id, router=router_message(value))
        case _:
            assert_never(value)


def object_of(message: api.HostObject) -> HostObject | None:
    """Object of a message, or None if it no longer concerns the host, or is of a kind that only later versions know."""
    match message.WhichOneof("object"):
        case "port":
            return port_of(message.port)
        case "leases":
            return lease_index_of(message.leases)
        case "lease":
            return lease_of(message.lease)
        case "subnet":
            return subnet_of(message.subnet)
        case "name":
            return name_of(message.name)
        case "router":
            return router_of(message.router)
        case _:
            return None


def refusal_message(error: OvnhookError) -> api.Refusal:
    """Message of an interface's error."""
    return api.Refusal(error=hints.class_name(error), message=error.message, hint=error.hint)


def refusal_of(message: api.Refusal) -> OvnhookError:
    """Error of an interface of a message."""
    return hints.error(message.error, OvnhookError, message.message, message.hint)


def uuid_of(text: str, field: str) -> UUID:
    """UUID in a field of a request.

    Raises:
        InvalidRequest: it is not one in its usual form.
    """
    try:
        found = UUID(text)
    except ValueError as error:
        raise InvalidRequest(f"{field} {text[:80]!r} is not a UUID") from error
    if str(found) != text:
        raise InvalidRequest(f"{field} {text[:80]!r} is not a UUID in lower case with hyphens")
    return found


def _interface_message(interface: Interface) -> api.LibvirtInterface:
    request = interface.request
    groups = request.security_groups
    return api.LibvirtInterface(
        mac=interface.mac,
        type=interface.kind.value,
        subnet="" if request.isolated else request.subnet,
        isolated=request.isolated,
        addresses=map(str, request.addresses),
        hostname=request.hostname,
        interface_id=interface.interface_id,
        network=interface.network,
        portgroup=interface.portgroup,
        mtu=interface.mtu,
        keep=request.keep,
        security_groups=None if groups is None else SecurityGroupNames(names=groups),
        **option_fields(request.options),
    )


def _interface_of(message: api.LibvirtInterface, domain: UUID, name: str) -> Interface:
    mac = _mac(message.mac)
    where = f"domain {name}: interface {mac}"
    try:
        kind = InterfaceType(message.type)
    except ValueError as error:
        raise InvalidRequest(f"{where}: type {message.type!r} is not a type of interface") from error
    if message.mtu < 0:
        raise InvalidRequest(f"{where}: mtu {message.mtu} is negative")
    if message.interface_id:
        uuid_of(message.interface_id, f"{where}: interface_id")
    return Interface(
        mac=mac,
        kind=kind,
        request=interface_request(
            where,
            domain,
            message.subnet,
            message.addresses,
            message.hostname,
            isolated=message.isolated,
            keep=message.keep,
            groups=message.security_groups.names if message.HasField("security_groups") else None,
            **requested_options(message),
        ),
        interface_id=message.interface_id,
        network=message.network,
        portgroup=message.portgroup,
        mtu=message.mtu,
    )


def _macs(texts: Iterable[str]) -> tuple[str, ...]:
    macs = tuple(map(_mac, texts))
    if len(macs) > MAX_MACS:
        raise InvalidRequest(f"{len(macs)} MAC addresses: expected at most {MAX_MACS}")
    return macs


def _mac(text: str) -> str:
    if not MAC.fullmatch(text):
        raise InvalidRequest(f"{text[:80]!r} is not a MAC address in lower case with colons")
    return text


def _label(text: str) -> str:
    if text and not HOST_NAME.fullmatch(text):
        raise InvalidRequest(f"host name {text[:80]!r} is not a DNS label")
    return text
