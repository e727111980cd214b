"""Checks before attaching: unsupported XML, MAC address conflicts, isolated subnets. Pure."""

from __future__ import annotations

from ovnhook.base.errors import AlreadyExists, InvalidRequest
from ovnhook.domains import plan
from ovnhook.domains.values import Domain, Interface, Unsupported
from ovnhook.resources.port.values import Owner
from ovnhook.resources.state import Observed
from ovnhook.resources.subnet.values import Subnet, is_isolated_subnet, isolated_subnet, resolver_mac, server_mac


def accepted(domain: Domain, observed: Observed, *, runs: bool) -> Domain:
    """The domain to attach: with its current placement if it runs, here or at its source; else as in its XML.

    Raises:
        InvalidRequest: it is starting, and its XML has settings that OVN ports do not support.
    """
    if runs:
        return plan.with_current_placement(domain, observed)
    domain.refuse_unsupported()
    return domain


def unsupported(domain: Domain, interface: Interface, subnet: Subnet) -> tuple[Unsupported, ...]:
    """List settings in an interface's XML that its port on a subnet does not support."""
    found = (*domain.unsupported, too_large(interface, subnet.name, subnet.mtu))
    return tuple(one for one in found if one and one.mac == interface.mac)


def too_large(interface: Interface, subnet: str, mtu: int) -> Unsupported | None:
    """Return the MTU in an interface's XML, if it exceeds its subnet's.

    Args:
        interface: the interface.
        subnet: the name of its subnet.
        mtu: the subnet's MTU.
    """
    if interface.mtu <= mtu:
        return None
    return Unsupported(
        interface.mac,
        f"its <mtu size='{interface.mtu}'/> exceeds the MTU of subnet {subnet}, {mtu}",
        f"set <mtu size='{mtu}'/>, or omit it: DHCP sets the guest's MTU",
    )


def check_own(domain: Domain, subnet: Subnet) -> None:
    """Raise InvalidRequest if a subnet is another domain's own."""
    if is_isolated_subnet(subnet.name) and subnet.name != isolated_subnet(domain.uuid):
        raise InvalidRequest(f"subnet {subnet.name} is another domain's own", "ovnhook subnet create --help")


def check_mac(domain: Domain, interface: Interface, subnet: Subnet, observed: Observed) -> None:
    """Raise AlreadyExists if an interface would share its MAC address with another one of its subnet."""
    mac = interface.mac
    if rival := observed.conflicting_ports.get((subnet.name, mac)):
        owner = f"domain {rival.domain_name} on {rival.host}"
    elif mac == server_mac(subnet.name):
        owner = "its gateway"
    elif mac == resolver_mac(subnet.name):
        owner = "its DNS resolver"
    else:
        return
    another = "omit it, or choose another one"
    if domain.kept_by is Owner.LIBVIRT:
        another = f"virsh edit {domain.name}: remove <mac address='{mac}'/>, libvirt generates a new one"
    raise AlreadyExists(f"MAC address {mac} of subnet {subnet.name} is that of {owner}", another)


def check_supported(
    domain: Domain, interface: Interface, subnet: Subnet, observed: Observed, *, runs: bool
) -> list[str]:
    """Return warnings for unsupported settings of a running interface.

    A running domain, here or at its migration source, goes on: another version may have let it start.

    Raises:
        InvalidRequest: the interface is not running yet.
    """
    held = observed.lease_index.leases if observed.lease_index else ()
    known = {*observed.ports, *(mac for mac, _, _ in held)}
    found = unsupported(domain, interface, subnet)
    for one in found:
        if not (runs and interface.mac in known):
            raise InvalidRequest(one.what, one.hint)
    return [f"domain {domain.name}: interface {one.mac}: {one.what}: {one.hint}" for one in found]
