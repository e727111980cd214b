"""What differs on a host between libvirt, OVN and Open vSwitch, and what mends it. Pure.

Only what says that it is this host's is looked at, and nothing that a client of the API keeps.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from uuid import UUID

from ovnhook.diagnosis.values import (
    Arrive,
    Attach,
    Detach,
    Difference,
    Domains,
    Forget,
    Keep,
    ManualRepair,
    ReleaseLease,
    Rename,
    Repair,
    Stay,
    Unplug,
    uuid_of,
)
from ovnhook.domains import choice, plan
from ovnhook.domains.inventory import ConsistentNames, Inventory, RelatedRows
from ovnhook.domains.values import Domain, Interface, Tap, Unsupported
from ovnhook.resources.lease.values import Lease
from ovnhook.resources.port.values import Claim, Owner, Port
from ovnhook.resources.subnet import names

_ON_ITS_WAY = 10.0  # seconds between the announcement of a migration and a domain at its destination, if not more


def subnets_to_check(inventory: Inventory, well: Mapping[str, ConsistentNames] = MappingProxyType({})) -> set[str]:
    """The subnets whose names have to be looked at: those where something is other than when all was well."""
    leases = _by_subnet(inventory)
    return {
        subnet
        for subnet in _concerned(inventory)
        if subnet not in well
        or inventory.versions.get(subnet) != well[subnet].version
        or leases.get(subnet, frozenset()) != well[subnet].leases
    }


def consistent_names(
    inventory: Inventory, known: RelatedRows, found: Iterable[Difference], well: Mapping[str, ConsistentNames]
) -> dict[str, ConsistentNames]:
    """The subnets with whose names nothing is wrong: those that were looked at, and those that are as they were."""
    wrong = {one.repair.subnet for one in found if isinstance(one.repair, Rename)}
    leases = _by_subnet(inventory)
    same = _concerned(inventory) - subnets_to_check(inventory, well)
    looked = {
        subnet: ConsistentNames(version, known.domains[subnet], leases.get(subnet, frozenset()))
        for subnet, version in known.versions.items()
        if subnet not in wrong
    }
    return {subnet: well[subnet] for subnet in same} | looked


def _concerned(inventory: Inventory) -> set[str]:
    """The subnets that this host has leases in."""
    held = {subnet for holding in inventory.holdings.values() for _, subnet, _ in holding.leases}
    return held | {subnet for subnet, _ in inventory.leases}


def _by_subnet(inventory: Inventory) -> dict[str, frozenset[Lease]]:
    found: dict[str, set[Lease]] = {}
    for (subnet, _), lease in inventory.leases.items():
        found.setdefault(subnet, set()).add(lease)
    return {subnet: frozenset(leases) for subnet, leases in found.items()}


def foreign_domains(inventory: Inventory) -> set[UUID]:
    """The domains of which it has to be known what they hold, as they are another host's, or nobody's."""
    leased = {lease.domain for lease in inventory.leases.values()}
    return leased - inventory.holdings.keys()


def required_claims(host: str, inventory: Inventory) -> set[Claim]:
    """The claims that there have to be: of the MAC addresses of this host's ports."""
    ports = (port for port in inventory.ports.values() if port.host == host and port.kept_by is Owner.LIBVIRT)
    return {Claim(port.subnet, port.mac, port.domain) for port in ports}


def with_claims(known: RelatedRows, wanted: set[Claim], there: set[Claim]) -> set[Claim]:
    """Add claims that were there before to what is known, and return all that are as wanted.

    Args:
        known: what was looked up, but for those.
        wanted: the claims that there have to be.
        there: those that were there before: they go with their ports, which are looked at each time.
    """
    known.claims.update({(claim.subnet, claim.mac): claim for claim in wanted & there})
    return wanted & {*known.claims.values()}


def interfaces_without_port(inventory: Inventory, domains: Domains) -> set[tuple[UUID, str]]:
    """The interfaces whose ports have to be known, as they are another host's, or missing."""
    running = {(uuid, one.mac) for uuid, run in domains.running.items() for one in run.domain.interfaces}
    return running - inventory.ports.keys()


def subnets_with_mtu(inventory: Inventory, domains: Domains) -> set[str]:
    """The subnets whose MTU has to be known, as the XML of an interface there sets one."""
    setting = {(uuid, one.mac) for uuid, run in domains.running.items() for one in run.domain.interfaces if one.mtu}
    return {inventory.ports[interface].subnet for interface in setting & inventory.ports.keys()}


def known_domains(inventory: Inventory, taps: Mapping[str, Tap]) -> dict[UUID, str]:
    """The domains that this host has something of, with their names, or the UUID where nobody knows the name."""
    plugged = {uuid: str(uuid) for tap in taps.values() if (uuid := uuid_of(tap.domain))}
    leased = {lease.domain: lease.domain_name for lease in inventory.leases.values()}
    bound = {port.domain: port.domain_name for port in inventory.ports.values()}
    return plugged | leased | bound | {uuid: one.domain_name for uuid, one in inventory.holdings.items()}


def outgoing_migrations(host: str, inventory: Inventory) -> set[UUID]:
    """The domains that migrate to another host, or were to."""
    return {uuid for uuid, holding in inventory.holdings.items() if holding.moving_to and holding.host == host}


def compare(
    host: str, inventory: Inventory, known: RelatedRows, taps: Mapping[str, Tap], domains: Domains
) -> Iterator[Difference]:
    """Everything on a host that is not as it should be.

    Args:
        host: its chassis.
        inventory: what was read of it, before `domains`: what a domain has only got since is not missed by it.
        known: what was read for that (`foreign_domains` and the like).
        taps: of its Open vSwitch, read before `domains` too.
        domains: of its libvirt.
    """
    for error in inventory.broken:
        yield Difference("", "", error.message, ManualRepair(error.hint, of_cloud=True))
    yield from filter(None, domains.unknown.values())
    for run in domains.running.values():
        if run.hangs:
            hint = f"virsh domcontrol {run.domain.name}; is its QEMU stopped, or its storage away?"
            yield Difference(run.domain.name, "", "its QEMU does not answer libvirt", ManualRepair(hint))
    certain = _without(inventory, domains.unknown)
    yield from _left_over(host, certain, domains)
    yield from _moving(host, certain, domains)
    for uuid, run in domains.running.items():
        holding = inventory.holdings.get(uuid)
        if run.is_valid and not (holding and holding.moving_to):
            for interface in run.domain.interfaces:
                what = _lacks(host, inventory, known, taps, run.domain, interface)
                if what:
                    yield Difference(run.domain.name, interface.mac, *what)
            for unsupported in _unsupported(inventory, known, run.domain):
                hint = f"virsh edit {run.domain.name}: {unsupported.hint}; then shut it down and start it again"
                yield Difference(run.domain.name, unsupported.mac, unsupported.what, ManualRepair(hint))
    held = {(str(uuid), mac) for uuid, holding in inventory.holdings.items() for mac, _, _ in holding.leases}
    for device, tap in taps.items():
        if uuid_of(tap.domain) in domains.unknown:
            continue
        if (tap.ours or (tap.domain, tap.mac) in held) and not any(
            device in run.taps and str(uuid) == tap.domain for uuid, run in domains.running.items()
        ):
            what_tap = f"port {device} of Open vSwitch is there, and no such device of domain {tap.domain}"
            yield Difference("", "", what_tap, Unplug(device, tap))
    yield from _leases(certain, known, domains)
    yield from _names(inventory, known)


def _without(inventory: Inventory, domains: Container[UUID]) -> Inventory:
    """What there is of other domains than these."""
    return replace(
        inventory,
        ports={(uuid, mac): port for (uuid, mac), port in inventory.ports.items() if uuid not in domains},
        holdings={uuid: holding for uuid, holding in inventory.holdings.items() if uuid not in domains},
        leases={place: lease for place, lease in inventory.leases.items() if lease.domain not in domains},
    )


def _left_over(host: str, inventory: Inventory, domains: Domains) -> Iterator[Difference]:
    """What is there of domains, or interfaces, that are not."""
    for (uuid, mac), port in inventory.ports.items():
        if port.host != host or port.kept_by is not Owner.LIBVIRT:
            continue
        run = domains.running.get(uuid)
        if run is None:
            gone = Domain(uuid, port.domain_name, macs=(mac,))
            yield Difference(port.domain_name, mac, f"port {port.id} is there, the domain does not run", Detach(gone))
        elif run.is_valid and mac not in run.domain.macs and not port.moving_to:
            yield Difference(
                port.domain_name, mac, f"port {port.id} is there, the interface is not", Attach(run.domain)
            )
    for uuid, holding in inventory.holdings.items():
        if holding.host != host or holding.kept_by is not Owner.LIBVIRT or holding.moving_to:
            continue
        run, defined = domains.running.get(uuid), domains.defined.get(uuid)
        if run is None and defined is None:
            yield Difference(holding.domain_name, "", "it has leases, and does not exist", Forget(uuid))
            continue
        if run:
            repair: Repair = Attach(run.domain)
            macs, name = (*run.domain.macs, *run.domain.defined_only_macs), run.domain.name
        elif defined:
            repair, macs, name = Keep(defined), defined.macs, defined.name
        for mac in sorted({mac for mac, _, _ in holding.leases} - {*macs}):
            if run is None or run.is_valid:
                yield Difference(name, mac, "it has a lease, the interface does not exist", repair)
        if holding.domain_name != name and run is None:
            yield Difference(name, "", f"what it holds is said to be of {holding.domain_name}", repair)


def _moving(host: str, inventory: Inventory, domains: Domains) -> Iterator[Difference]:
    """Migrations that ended without anybody saying so."""
    for uuid, holding in inventory.holdings.items():
        name, run = holding.domain_name, domains.running.get(uuid)
        if holding.moving_to == host and run and not run.paused:
            yield Difference(name, "", f"it has come from {holding.host}, its ports have not", Arrive(uuid))
        elif holding.moving_to == host and run is None:
            gone = Detach(Domain(uuid, name))
            # Other hooks of the host may take their time before libvirt lists the domain.
            yield Difference(
                name, "", f"it was to come from {holding.host} and has not", gone, grace_period=_ON_ITS_WAY
            )
        elif holding.moving_to and holding.host == host and run and not run.migrates:
            yield Difference(name, "", f"it was to go to {holding.moving_to} and has not", Stay(uuid))
        elif holding.moving_to and holding.host == host and run is None:
            left = Detach(Domain(uuid, name))
            yield Difference(name, "", f"it has gone to {holding.moving_to}, its leases have not", left)


def _lacks(
    host: str,
    inventory: Inventory,
    known: RelatedRows,
    taps: Mapping[str, Tap],
    domain: Domain,
    interface: Interface,
) -> tuple[str, Repair] | None:
    """What an interface of a running domain lacks, the first thing that there is."""
    wanted = plan.port_id(domain, interface)
    attach = Attach(domain)
    port = inventory.ports.get((domain.uuid, interface.mac))
    if port is None:
        other = known.ports.get((domain.uuid, interface.mac))
        if other:
            hint = f"destroy it on {other.host} or here"
            return f"it runs here, and its port {other.id} is that of {other.host}", ManualRepair(hint)
        return f"it has no port {wanted}", attach
    if port.moving_to:
        return None
    if port.id != wanted:
        return f"its port is {port.id} instead of {wanted}", attach
    holding = inventory.holdings.get(domain.uuid)
    held = (
        {where for mac, subnet, where in holding.leases if (mac, subnet) == (port.mac, port.subnet)} if holding else ()
    )
    if {*port.addresses} != {*held}:
        has, holds = (" ".join(map(str, sorted(some))) or "nothing" for some in (port.addresses, held))
        return f"port {port.id} has {has}, and what is held for it is {holds}", attach
    if not port.intact:
        return f"columns of port {port.id} were changed", attach
    for where in port.addresses:
        lease = inventory.leases.get((port.subnet, where))
        if lease is None or not lease.is_held_by(domain.uuid, interface.mac):
            return f"{where} of subnet {port.subnet} is not leased to it", attach
        asked = interface.request.hostname
        if lease.hostname != asked and (asked or not names.is_derived(lease.hostname, domain.name, domain.uuid)):
            wanted_name = asked or f"one of the domain's name {domain.name}"
            return f"its host name is {lease.hostname} instead of {wanted_name}", attach
    tap = taps.get(interface.device)
    if interface.device and (tap is None or tap.iface_id != wanted):
        has = f"is bound to {tap.iface_id}" if tap else "is no port of Open vSwitch"
        return f"{interface.device} {has} instead of port {wanted}", attach
    return _lacks_mac(known, domain, port, attach)


def _unsupported(inventory: Inventory, known: RelatedRows, domain: Domain) -> Iterator[Unsupported]:
    """What a running domain's XML asks for and does not get: an earlier version let it start, or the subnet changed."""
    yield from domain.unsupported
    for interface in domain.interfaces:
        port = inventory.ports.get((domain.uuid, interface.mac))
        if port and port.subnet in known.mtus:
            yield from filter(None, [choice.too_large(interface, port.subnet, known.mtus[port.subnet])])


def _lacks_mac(known: RelatedRows, domain: Domain, port: Port, attach: Attach) -> tuple[str, Repair] | None:
    """A MAC address that is not reserved for a port: a version before made it, or its subnet has another one."""
    place = (port.subnet, port.mac)
    if rival := known.rivals.get(place):
        hint = f"give one of the two another MAC address: virsh edit {domain.name}, and start it again"
        owner = f"domain {rival.domain_name} on {rival.host}"
        return f"its MAC address is also that of {owner} in subnet {port.subnet}", ManualRepair(hint)
    claim = known.claims.get(place)
    if claim is None or claim.domain != domain.uuid:
        return f"its MAC address is not reserved in subnet {port.subnet}", attach
    return None


def _leases(inventory: Inventory, known: RelatedRows, domains: Domains) -> Iterator[Difference]:
    """Leases that nobody holds."""
    for (subnet, where), lease in inventory.leases.items():
        holding = inventory.holdings.get(lease.domain) or known.holdings.get(lease.domain)
        held = holding and (lease.mac, subnet, where) in holding.leases
        if not held and lease.domain not in domains.running:
            what = f"{where} of subnet {subnet} is leased, and the domain does not hold it"
            yield Difference(lease.domain_name, lease.mac, what, ReleaseLease(lease))


def _names(inventory: Inventory, known: RelatedRows) -> Iterator[Difference]:
    """Names of this host's domains that guests do not find, and names of nothing that they do."""
    leases = _by_subnet(inventory)
    for subnet, there in sorted(known.names.items()):
        domain, leased = known.domains[subnet], known.leased[subnet]
        ours = {lease.address: lease for lease in leases.get(subnet, ())}
        # What is leased to a domain of another host has a name that is that one's agent's business.
        anothers = leased - {*map(str, ours)}
        wanted = names.records(ours.values(), domain)
        owners = {record: lease for lease in ours.values() for record in names.records([lease], domain)}
        for record, value in sorted(wanted.items()):
            has = there.get(record, "")
            beside = {*has.split()} - {*value.split()}
            if not {*value.split()} <= {*has.split()} or not beside <= anothers:
                what = f"name {record} of subnet {subnet} is {has or 'missing'} instead of {value}"
                rename = Rename(subnet, {record: has} if has else {}, {record: value})
                yield Difference(owners[record].domain_name, owners[record].mac, what, rename)
        for record, value in sorted(there.items()):
            if record not in wanted and anothers.isdisjoint(names.places(record, value)):
                what = f"name {record} of subnet {subnet} is {value}, and no lease has it"
                yield Difference("", "", what, Rename(subnet, {record: value}, {}))
