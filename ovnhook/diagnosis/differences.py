"""Differences on a host between libvirt, OVN and Open vSwitch, and their repairs. Pure.

Only objects of this host are compared, and none that an API client owns. What has to agree within the northbound
database, such as DNS records and leases, is the control service's business.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import replace
from uuid import UUID

from ovnhook.base.text import quoted
from ovnhook.diagnosis.values import (
    Attach,
    CancelMigration,
    Detach,
    Difference,
    Domains,
    FinishMigration,
    ManualRepair,
    ReleaseLeases,
    Repair,
    Unplug,
    UpdateLeases,
    uuid_of,
)
from ovnhook.domains import fitness
from ovnhook.domains.inventory import Inventory
from ovnhook.domains.values import Domain, Interface, Tap, Unsupported
from ovnhook.resources.port.foreign import removal
from ovnhook.resources.port.values import Owner, Port
from ovnhook.resources.subnet import dns

_MIGRATION_GRACE_PERIOD = 10.0  # seconds from the announcement of a migration until libvirt lists the domain


def domains_without_port(inventory: Inventory, domains: Domains) -> list[Domain]:
    """Running domains with an interface that has no port here: its port is another host's, or missing."""
    return [
        run.domain
        for uuid, run in domains.running.items()
        if any((uuid, one.mac) not in inventory.ports for one in run.domain.interfaces)
    ]


def known_domains(inventory: Inventory, taps: Mapping[str, Tap]) -> dict[UUID, str]:
    """Domains that this host has rows or taps of, with their names, or the UUID where the name is unknown."""
    plugged = {uuid: str(uuid) for tap in taps.values() if (uuid := uuid_of(tap.domain))}
    leased = {lease.domain: lease.domain_name for lease in inventory.leases.values()}
    bound = {port.domain: port.domain_name for port in inventory.ports.values()}
    return plugged | leased | bound | {uuid: one.domain_name for uuid, one in inventory.lease_indexes.items()}


def outgoing_migrations(host: str, inventory: Inventory) -> set[UUID]:
    """Domains with an announced migration to another host."""
    return {uuid for uuid, index in inventory.lease_indexes.items() if index.moving_to and index.host == host}


def compare(host: str, inventory: Inventory, taps: Mapping[str, Tap], domains: Domains) -> Iterator[Difference]:
    """All differences on a host.

    Args:
        host: its chassis.
        inventory: its objects, as of a time before `domains`: then a port without a running domain is really left
            over, and not of a domain that started in between. With the ports of `domains_without_port` on other hosts.
        taps: of its Open vSwitch, read before `domains`, too.
        domains: of its libvirt.
    """
    yield from filter(None, domains.unknown.values())
    for run in domains.running.values():
        if run.hangs:
            hint = f"virsh domcontrol {run.domain.name}; is its QEMU stopped, or its storage unavailable?"
            yield Difference(run.domain.name, "", "its QEMU does not answer libvirt", ManualRepair(hint))
    certain = _without(inventory, domains.unknown)
    yield from _left_over(host, certain, domains)
    yield from _moving(host, certain, domains)
    for uuid, run in domains.running.items():
        lease_index = inventory.lease_indexes.get(uuid)
        if run.is_valid and not (lease_index and lease_index.moving_to):
            for interface in run.domain.interfaces:
                what = _interface_difference(inventory, taps, run.domain, interface)
                if what:
                    yield Difference(run.domain.name, interface.mac, *what)
                yield from _foreign_settings(inventory.ports.get((uuid, interface.mac)))
                yield from _without_limit(run.domain, interface)
            for unsupported in _unsupported(inventory, run.domain):
                hint = f"virsh edit {run.domain.name}: {unsupported.hint}; then shut it down and start it again"
                yield Difference(run.domain.name, unsupported.mac, unsupported.what, ManualRepair(hint))
    held = {(str(uuid), mac) for uuid, index in inventory.lease_indexes.items() for mac, _, _ in index.leases}
    for device, tap in taps.items():
        if uuid_of(tap.domain) in domains.unknown:
            continue
        if (tap.ours or (tap.domain, tap.mac) in held) and not any(
            device in run.taps and str(uuid) == tap.domain for uuid, run in domains.running.items()
        ):
            what_tap = f"Open vSwitch has port {device}, but domain {tap.domain} has no such device"
            yield Difference("", "", what_tap, Unplug(device, tap))


def _without(inventory: Inventory, domains: Container[UUID]) -> Inventory:
    """An inventory without the rows of some domains."""
    return replace(
        inventory,
        ports={(uuid, mac): port for (uuid, mac), port in inventory.ports.items() if uuid not in domains},
        lease_indexes={uuid: index for uuid, index in inventory.lease_indexes.items() if uuid not in domains},
        leases={place: lease for place, lease in inventory.leases.items() if lease.domain not in domains},
    )


def _left_over(host: str, inventory: Inventory, domains: Domains) -> Iterator[Difference]:
    """Ports and leases of domains or interfaces that do not exist."""
    for (uuid, mac), port in inventory.ports.items():
        if port.host != host or port.kept_by is not Owner.LIBVIRT:
            continue
        run = domains.running.get(uuid)
        if run is None:
            gone = Domain(uuid, port.domain_name, macs=(mac,))
            yield Difference(
                port.domain_name, mac, f"port {port.id} exists, but the domain is not running", Detach(gone)
            )
        elif run.is_valid and mac not in run.domain.macs and not port.moving_to:
            yield Difference(
                port.domain_name, mac, f"port {port.id} exists, but the interface does not", Attach(run.domain)
            )
    for uuid, lease_index in inventory.lease_indexes.items():
        if lease_index.host != host or lease_index.kept_by is not Owner.LIBVIRT or lease_index.moving_to:
            continue
        run, defined = domains.running.get(uuid), domains.defined.get(uuid)
        if run is None and defined is None:
            yield Difference(lease_index.domain_name, "", "it has leases, but does not exist", ReleaseLeases(uuid))
            continue
        if run:
            repair: Repair = Attach(run.domain)
            macs, name = (*run.domain.macs, *run.domain.defined_only_macs), run.domain.name
        elif defined:
            repair, macs, name = UpdateLeases(defined), defined.macs, defined.name
        for mac in sorted({mac for mac, _, _ in lease_index.leases} - {*macs}):
            if run is None or run.is_valid:
                yield Difference(name, mac, "it has a lease, but the interface does not exist", repair)
        if lease_index.domain_name != name and run is None:
            yield Difference(name, "", f"its leases are recorded under the name {lease_index.domain_name}", repair)


def _moving(host: str, inventory: Inventory, domains: Domains) -> Iterator[Difference]:
    """Migrations that ended without a hook call or an event."""
    for uuid, lease_index in inventory.lease_indexes.items():
        name, run = lease_index.domain_name, domains.running.get(uuid)
        if lease_index.moving_to == host and run and not run.paused:
            yield Difference(
                name, "", f"it has migrated from {lease_index.host}, but its ports have not", FinishMigration(uuid)
            )
        elif lease_index.moving_to == host and run is None:
            gone = Detach(Domain(uuid, name))
            # libvirt lists the domain only after all hooks of the host have run.
            yield Difference(
                name,
                "",
                f"its migration from {lease_index.host} was announced, but it has not arrived",
                gone,
                grace_period=_MIGRATION_GRACE_PERIOD,
            )
        elif lease_index.moving_to and lease_index.host == host and run and not run.migrates:
            yield Difference(
                name,
                "",
                f"its migration to {lease_index.moving_to} was announced, but it still runs here",
                CancelMigration(uuid),
            )
        elif lease_index.moving_to and lease_index.host == host and run is None:
            left = Detach(Domain(uuid, name))
            yield Difference(name, "", f"it has migrated to {lease_index.moving_to}, but its leases have not", left)


def _interface_difference(
    inventory: Inventory, taps: Mapping[str, Tap], domain: Domain, interface: Interface
) -> tuple[str, Repair] | None:
    """The first difference of a running domain's interface, with its repair."""
    wanted = domain.port_id(interface)
    attach = Attach(domain)
    port = inventory.ports.get((domain.uuid, interface.mac))
    if port is None:
        other = inventory.ports_elsewhere.get((domain.uuid, interface.mac))
        if other:
            hint = f"destroy it on {other.host} or here"
            return f"it runs here, but its port {other.id} is bound to {other.host}", ManualRepair(hint)
        return f"it has no port {wanted}", attach
    if port.moving_to:
        return None
    if port.id != wanted:
        return f"its port is {port.id} instead of {wanted}", attach
    index = inventory.lease_indexes.get(domain.uuid)
    leases = index.leases if index else ()
    held = {where for mac, subnet, where in leases if (mac, subnet) == (port.mac, port.subnet)}
    if {*port.addresses} != {*held}:
        has, holds = (" ".join(map(str, sorted(some))) or "none" for some in (port.addresses, held))
        return f"port {port.id} has addresses {has} instead of the leased {holds}", attach
    if not port.intact:
        return f"columns of port {port.id} were changed", attach
    if what := _requested_difference(port, interface):
        return what, attach
    for where in port.addresses:
        lease = inventory.leases.get((port.subnet, where))
        if lease is None or not lease.belongs_to(domain.uuid, interface.mac):
            return f"{where} of subnet {port.subnet} is not leased to it", attach
        if lease.keep != interface.request.keep:
            return f"{where} of subnet {port.subnet} is {'' if lease.keep else 'not '}kept without the domain", attach
        asked = interface.request.hostname
        if lease.hostname != asked and (asked or not dns.is_default_hostname(lease.hostname, domain.name, domain.uuid)):
            wanted_name = asked or f"one of the domain's name {domain.name}"
            return f"its host name is {lease.hostname} instead of {wanted_name}", attach
    tap = taps.get(interface.device)
    if interface.device and (tap is None or tap.iface_id != wanted):
        has = f"is bound to {tap.iface_id}" if tap else "is not a port of Open vSwitch"
        return f"{interface.device} {has} instead of port {wanted}", attach
    return None


def _requested_difference(port: Port, interface: Interface) -> str:
    """Difference between options and security groups of a port and the requested ones, or ""."""
    if port.options != interface.request.options:
        return f"options of port {port.id} are {port.options} instead of {interface.request.options}"
    wanted = interface.request.security_groups
    if wanted == (port.security_groups if port.names_groups else None):
        return ""
    has = " ".join(port.security_groups) or "none"
    instead = "those of its subnet" if wanted is None else " ".join(wanted) or "none"
    return f"security groups of port {port.id} are {has} instead of {instead}"


def _foreign_settings(port: Port | None) -> Iterator[Difference]:
    """Settings of a port that somebody made by hand."""
    if port is None:
        return
    for setting in port.foreign:
        what = f"port {port.id} has the setting {setting}, which is not ovnhook's"
        yield Difference(port.domain_name, port.mac, what, ManualRepair(removal(port.id, setting)))


def _without_limit(domain: Domain, interface: Interface) -> Iterator[Difference]:
    """A bandwidth of libvirt's that limits nothing."""
    if average := interface.unlimited:
        what = f"its <inbound average='{average}'/> limits nothing: Open vSwitch limits by peak, which is missing"
        command = f"virsh domiftune {quoted(domain.name)} {interface.mac} --inbound {average},{average} --live --config"
        yield Difference(domain.name, interface.mac, what, ManualRepair(command))


def _unsupported(inventory: Inventory, domain: Domain) -> Iterator[Unsupported]:
    """Unsupported settings of a running domain: started by an earlier version, or before the subnet changed."""
    yield from domain.unsupported
    for interface in domain.interfaces:
        port = inventory.ports.get((domain.uuid, interface.mac))
        if port and port.subnet in inventory.mtus:
            yield from filter(None, [fitness.too_large(interface, port.subnet, inventory.mtus[port.subnet])])
