"""Differences on a host between libvirt, OVN and Open vSwitch, and their repairs. Pure.

Only rows of this host are compared, and none that an API client owns.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from uuid import UUID

from ovnhook.diagnosis.values import (
    Attach,
    CancelMigration,
    Detach,
    Difference,
    Domains,
    FinishMigration,
    ManualRepair,
    ReleaseLease,
    ReleaseLeases,
    Rename,
    Repair,
    Unplug,
    UpdateLeases,
    uuid_of,
)
from ovnhook.domains import fitness
from ovnhook.domains.inventory import ConsistentNames, Inventory, RelatedRows
from ovnhook.domains.values import Domain, Interface, Tap, Unsupported
from ovnhook.resources.lease.values import Lease
from ovnhook.resources.port.values import Claim, Owner, Port
from ovnhook.resources.subnet import dns

_MIGRATION_GRACE_PERIOD = 10.0  # seconds from the announcement of a migration until libvirt lists the domain


def subnets_to_check(inventory: Inventory, well: Mapping[str, ConsistentNames] = MappingProxyType({})) -> set[str]:
    """Subnets whose DNS records have to be checked: those that changed since they were last consistent."""
    leases = _leases_by_subnet(inventory)
    return {
        subnet
        for subnet in _subnets_with_leases(inventory)
        if subnet not in well
        or inventory.versions.get(subnet) != well[subnet].version
        or leases.get(subnet, frozenset()) != well[subnet].leases
    }


def consistent_names(
    inventory: Inventory, known: RelatedRows, found: Iterable[Difference], well: Mapping[str, ConsistentNames]
) -> dict[str, ConsistentNames]:
    """Subnets with consistent DNS records: those just checked, and those unchanged since they were."""
    wrong = {one.repair.subnet for one in found if isinstance(one.repair, Rename)}
    leases = _leases_by_subnet(inventory)
    same = _subnets_with_leases(inventory) - subnets_to_check(inventory, well)
    checked = {
        subnet: ConsistentNames(version, known.dns_domains[subnet], leases.get(subnet, frozenset()))
        for subnet, version in known.versions.items()
        if subnet not in wrong
    }
    return {subnet: well[subnet] for subnet in same} | checked


def _subnets_with_leases(inventory: Inventory) -> set[str]:
    """Subnets that this host has leases in."""
    held = {subnet for lease_index in inventory.lease_indexes.values() for _, subnet, _ in lease_index.leases}
    return held | {subnet for subnet, _ in inventory.leases}


def _leases_by_subnet(inventory: Inventory) -> dict[str, frozenset[Lease]]:
    found: dict[str, set[Lease]] = {}
    for (subnet, _), lease in inventory.leases.items():
        found.setdefault(subnet, set()).add(lease)
    return {subnet: frozenset(leases) for subnet, leases in found.items()}


def foreign_domains(inventory: Inventory) -> set[UUID]:
    """Domains with leases here but no row of this host: their row is another host's, or missing, and has to be read."""
    leased = {lease.domain for lease in inventory.leases.values()}
    return leased - inventory.lease_indexes.keys()


def required_claims(host: str, inventory: Inventory) -> set[Claim]:
    """MAC address claims that have to exist for this host's ports."""
    ports = (port for port in inventory.ports.values() if port.host == host and port.kept_by is Owner.LIBVIRT)
    return {Claim(port.subnet, port.mac, port.domain) for port in ports}


def with_claims(known: RelatedRows, wanted: set[Claim], there: set[Claim]) -> set[Claim]:
    """Add claims that were found by an earlier scan to `known`, and return all that are as required.

    Args:
        known: the related rows, without those claims.
        wanted: the required claims.
        there: claims found by an earlier scan. They are deleted only with their ports, which every scan reads.
    """
    known.claims.update({(claim.subnet, claim.mac): claim for claim in wanted & there})
    return wanted & {*known.claims.values()}


def interfaces_without_port(inventory: Inventory, domains: Domains) -> set[tuple[UUID, str]]:
    """Interfaces without a port of this host: their port is another host's, or missing, and has to be read."""
    running = {(uuid, one.mac) for uuid, run in domains.running.items() for one in run.domain.interfaces}
    return running - inventory.ports.keys()


def subnets_with_mtu(inventory: Inventory, domains: Domains) -> set[str]:
    """Subnets with an interface whose XML sets an MTU, which has to be compared with the subnet's."""
    setting = {(uuid, one.mac) for uuid, run in domains.running.items() for one in run.domain.interfaces if one.mtu}
    return {inventory.ports[interface].subnet for interface in setting & inventory.ports.keys()}


def known_domains(inventory: Inventory, taps: Mapping[str, Tap]) -> dict[UUID, str]:
    """Domains that this host has rows or taps of, with their names, or the UUID where the name is unknown."""
    plugged = {uuid: str(uuid) for tap in taps.values() if (uuid := uuid_of(tap.domain))}
    leased = {lease.domain: lease.domain_name for lease in inventory.leases.values()}
    bound = {port.domain: port.domain_name for port in inventory.ports.values()}
    return plugged | leased | bound | {uuid: one.domain_name for uuid, one in inventory.lease_indexes.items()}


def outgoing_migrations(host: str, inventory: Inventory) -> set[UUID]:
    """Domains with an announced migration to another host."""
    return {uuid for uuid, index in inventory.lease_indexes.items() if index.moving_to and index.host == host}


def compare(
    host: str, inventory: Inventory, known: RelatedRows, taps: Mapping[str, Tap], domains: Domains
) -> Iterator[Difference]:
    """All differences on a host.

    Args:
        host: its chassis.
        inventory: its rows, read before `domains`: then a port without a running domain is really left over, and not
            of a domain that started in between.
        known: related rows (`foreign_domains` and the like).
        taps: of its Open vSwitch, read before `domains`, too.
        domains: of its libvirt.
    """
    for error in inventory.broken:
        yield Difference("", "", error.message, ManualRepair(error.hint, of_cloud=True))
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
                what = _interface_difference(host, inventory, known, taps, run.domain, interface)
                if what:
                    yield Difference(run.domain.name, interface.mac, *what)
            for unsupported in _unsupported(inventory, known, run.domain):
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
    yield from _leases(certain, known, domains)
    yield from _names(inventory, known)


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
    host: str,
    inventory: Inventory,
    known: RelatedRows,
    taps: Mapping[str, Tap],
    domain: Domain,
    interface: Interface,
) -> tuple[str, Repair] | None:
    """The first difference of a running domain's interface, with its repair."""
    wanted = domain.port_id(interface)
    attach = Attach(domain)
    port = inventory.ports.get((domain.uuid, interface.mac))
    if port is None:
        other = known.ports.get((domain.uuid, interface.mac))
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
    for where in port.addresses:
        lease = inventory.leases.get((port.subnet, where))
        if lease is None or not lease.belongs_to(domain.uuid, interface.mac):
            return f"{where} of subnet {port.subnet} is not leased to it", attach
        asked = interface.request.hostname
        if lease.hostname != asked and (asked or not dns.is_default_hostname(lease.hostname, domain.name, domain.uuid)):
            wanted_name = asked or f"one of the domain's name {domain.name}"
            return f"its host name is {lease.hostname} instead of {wanted_name}", attach
    tap = taps.get(interface.device)
    if interface.device and (tap is None or tap.iface_id != wanted):
        has = f"is bound to {tap.iface_id}" if tap else "is not a port of Open vSwitch"
        return f"{interface.device} {has} instead of port {wanted}", attach
    return _mac_difference(known, domain, port, attach)


def _unsupported(inventory: Inventory, known: RelatedRows, domain: Domain) -> Iterator[Unsupported]:
    """Unsupported settings of a running domain: started by an earlier version, or before the subnet changed."""
    yield from domain.unsupported
    for interface in domain.interfaces:
        port = inventory.ports.get((domain.uuid, interface.mac))
        if port and port.subnet in known.mtus:
            yield from filter(None, [fitness.too_large(interface, port.subnet, known.mtus[port.subnet])])


def _mac_difference(known: RelatedRows, domain: Domain, port: Port, attach: Attach) -> tuple[str, Repair] | None:
    """A port whose MAC address is not reserved: created by an earlier version, or in conflict with another port."""
    place = (port.subnet, port.mac)
    if rival := known.conflicting_ports.get(place):
        hint = f"change the MAC address of one of the two: virsh edit {domain.name}, then restart it"
        owner = f"domain {rival.domain_name} on {rival.host}"
        return f"its MAC address is also that of {owner} in subnet {port.subnet}", ManualRepair(hint)
    claim = known.claims.get(place)
    if claim is None or claim.domain != domain.uuid:
        return f"its MAC address is not reserved in subnet {port.subnet}", attach
    return None


def _leases(inventory: Inventory, known: RelatedRows, domains: Domains) -> Iterator[Difference]:
    """Leases that no domain's row lists."""
    for (subnet, where), lease in inventory.leases.items():
        lease_index = inventory.lease_indexes.get(lease.domain) or known.lease_indexes.get(lease.domain)
        held = lease_index and (lease.mac, subnet, where) in lease_index.leases
        if not held and lease.domain not in domains.running:
            what = f"{where} of subnet {subnet} is leased, but the domain's row does not list it"
            yield Difference(lease.domain_name, lease.mac, what, ReleaseLease(lease))


def _names(inventory: Inventory, known: RelatedRows) -> Iterator[Difference]:
    """Missing DNS records of this host's domains, and stale ones."""
    leases = _leases_by_subnet(inventory)
    for subnet, there in sorted(known.names.items()):
        domain, leased = known.dns_domains[subnet], known.leased[subnet]
        ours = {lease.address: lease for lease in leases.get(subnet, ())}
        # Records of leases of other hosts' domains are left to the agents there.
        anothers = leased - {*map(str, ours)}
        wanted = dns.records(ours.values(), domain)
        owners = {record: lease for lease in ours.values() for record in dns.records([lease], domain)}
        for record, value in sorted(wanted.items()):
            has = there.get(record, "")
            beside = {*has.split()} - {*value.split()}
            if not {*value.split()} <= {*has.split()} or not beside <= anothers:
                what = f"DNS record {record} of subnet {subnet} is " + (f"{has}, not {value}" if has else "missing")
                rename = Rename(subnet, {record: has} if has else {}, {record: value})
                yield Difference(owners[record].domain_name, owners[record].mac, what, rename)
        for record, value in sorted(there.items()):
            if record not in wanted and anothers.isdisjoint(dns.addresses_of(record, value)):
                what = f"DNS record {record} of subnet {subnet} is {value}, but no lease has it"
                yield Difference("", "", what, Rename(subnet, {record: value}, {}))
