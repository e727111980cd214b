"""Plans: the changes from the observed to the desired state of a domain. Pure.

The changes of a plan are committed in one transaction (Northbound.commit). Plans are idempotent: there are no changes
if the states are equal.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from uuid import UUID

from netaddr import IPAddress

from ovnhook.base.errors import FailedPrecondition
from ovnhook.domains import migration, virtualaddresses
from ovnhook.domains.choice import Placement, host_name
from ovnhook.domains.values import Domain, Interface
from ovnhook.resources.kind import Change, Need, Put, puts
from ovnhook.resources.lease.kind import LEASE, LEASE_INDEX
from ovnhook.resources.lease.values import Lease, LeaseIndex
from ovnhook.resources.port.kind import CLAIM, PORT
from ovnhook.resources.port.values import Claim, Owner, Port
from ovnhook.resources.state import Observed
from ovnhook.resources.subnet import dns
from ovnhook.resources.subnet.kind import DNS_RECORDS, SUBNET
from ovnhook.resources.subnet.values import DnsRecords, Subnet


def attach(domain: Domain, host: str, placements: Sequence[Placement], observed: Observed) -> tuple[Change, ...]:
    """Create or update the ports and leases of a domain's interfaces, and delete those of removed ones.

    For example, with one placement per interface, of which the addresses are chosen::

        placements = [Placement(interface, subnet, (IPAddress("10.1.0.20"),))]
        northbound.commit(plan.attach(domain, "hv1", placements, observed), deadline)

    Args:
        domain: its `macs` and `defined_only_macs` are all of its interfaces; others have been removed.
        host: the chassis on which the domain runs.
        placements: one for each interface to attach.
        observed: current state, with the leases and subnets of the placements and the lease index.
    """
    changes: list[Change] = []
    ports: list[Change] = []
    # During an incoming migration, ports and leases belong to the source.
    source = next((port.host for port in observed.ports.values() if port.moving_to == host), "")
    owner, moving_to = (source, host) if source else (host, "")
    needs: list[Change] = []
    placed = {placement.interface.mac for placement in placements}
    before = observed.lease_index.leases if observed.lease_index else ()
    # Leases of interfaces that are not attached now (another type, later in the start) are kept.
    held = [
        entry for entry in before if entry[0] in (*domain.macs, *domain.defined_only_macs) and entry[0] not in placed
    ]
    for placement in placements:
        mac, subnet = placement.interface.mac, placement.subnet
        for address in placement.addresses:
            held.append((mac, subnet.name, address))
            lease = Lease(
                subnet=subnet.name,
                address=address,
                domain=domain.uuid,
                domain_name=domain.name,
                mac=mac,
                hostname=placement.hostname,
                host=owner,
                run=run_id(domain, host),
                by_default=placement.by_default,
                keep=placement.interface.request.keep,
                virtual=tuple(
                    one for one in placement.interface.request.options.virtual if one.version == address.version
                ),
            )
            found = observed.leases.get((subnet.name, address))
            written = _put_lease(lease, found)
            changes += written
            if found and not written:
                needs.append(Need(LEASE, found))
        there = observed.ports.get(mac)
        port = Port(
            id=domain.port_id(placement.interface),
            subnet=subnet.name,
            mac=mac,
            addresses=placement.addresses,
            domain=domain.uuid,
            domain_name=domain.name,
            host=owner,
            kept_by=domain.kept_by,
            moving_to=moving_to,
            index=_index(domain, mac, there),
            options=placement.interface.request.options,
            security_groups=placement.security_groups,
            names_groups=placement.interface.request.security_groups is not None,
            limits=placement.interface.request.options.limits.over(subnet.limits),
        )
        ports += _claim(port, there, observed)
        if there is None:
            ports.append(Put(PORT, None, port))
        elif there != port:
            ports.append(Put(PORT, there, port))
    used = {(subnet, address) for _, subnet, address in held}  # an address may move to another interface of the domain
    changes += _drop(domain.uuid, [entry for entry in before if entry[1:] not in used], observed.leases)
    lease_index = LeaseIndex(domain.uuid, domain.name, owner, tuple(sorted(held)), domain.kept_by, moving_to)
    desired = migration.with_request(lease_index, observed.lease_index) if held else None
    if desired != observed.lease_index:
        changes.append(Put(LEASE_INDEX, observed.lease_index, desired))
    changes += _rename(domain.uuid, changes, observed)
    changes += ports
    changes += detach((port for mac, port in observed.ports.items() if mac not in domain.macs), host)
    changes += virtualaddresses.follow(changes, observed)
    if changes:
        subnets = {placement.subnet.name: placement.subnet for placement in placements}
        return (*(Need(SUBNET, subnet) for subnet in subnets.values()), *needs, *changes)
    return ()


def created(changes: Iterable[Change]) -> int:
    """Number of ports, leases and lease indexes that changes create."""
    kinds = (PORT, LEASE, LEASE_INDEX)
    return sum(change.kind in kinds and change.old is None for change in changes if isinstance(change, Put))


def _index(domain: Domain, mac: str, there: Port | None) -> int | None:
    """Index of an interface in its domain. It does not change for clients, which may attach interfaces one by one."""
    if domain.kept_by is Owner.CLIENT and there and there.index is not None:
        return there.index
    return domain.macs.index(mac) if mac in domain.macs else None


def detach(ports: Iterable[Port], host: str) -> tuple[Change, ...]:
    """Delete ports of this host. Ports of other hosts are kept.

    During a migration, assign them to the other host instead: from the source after the migration, from the destination
    after a cancelled one.
    """
    changes: list[Change] = []
    for port in ports:
        if port.host == host and not port.moving_to:
            changes.append(Put(PORT, port, None))
        elif port.host == host:
            changes.append(Put(PORT, port, replace(port, host=port.moving_to, moving_to="")))
        elif port.moving_to == host:
            changes.append(Put(PORT, port, replace(port, moving_to="")))
    return tuple(changes)


def leave(observed: Observed, host: str) -> tuple[Change, ...]:
    """Detach a domain that no longer runs on this host. Its leases are kept."""
    changes = (*detach(observed.ports.values(), host), *migration.hand_over(observed, host))
    return (*changes, *virtualaddresses.follow(changes, observed))


def with_current_placement(domain: Domain, observed: Observed) -> Domain:
    """Replace what a running domain requests by its present placement.

    An interface with a port keeps its subnet and addresses, whatever the metadata says.
    """
    held = observed.lease_index.leases if observed.lease_index else ()

    def stay(interface: Interface) -> Interface:
        port = observed.ports.get(interface.mac)
        if port is None:
            return interface
        known = tuple(address for mac, subnet, address in held if (mac, subnet) == (port.mac, port.subnet))
        there = replace(interface.request, subnet=port.subnet, isolated=False, addresses=known or port.addresses)
        return replace(interface, request=there)

    return replace(domain, interfaces=tuple(map(stay, domain.interfaces)))


def pending_until_restart(domain: Domain, observed: Observed) -> tuple[str, ...]:
    """Messages for requests in a running domain's metadata that take effect at its next start."""
    found = []
    for interface in domain.interfaces:
        request, port = interface.request, observed.ports.get(interface.mac)
        if port is None:
            continue
        pending = [f"subnet '{request.subnet}'"] if request.subnet not in ("", port.subnet) else []
        pending += [f"address {address}" for address in request.addresses if address not in port.addresses]
        if pending:
            has = " ".join(map(str, port.addresses))
            found.append(
                f"domain {domain.name}: interface {port.mac}: {', '.join(pending)} of its metadata takes effect at the"
                f" domain's next start; until then it has {has} on subnet {port.subnet}"
            )
    return tuple(found)


def apply_definition(
    domain: Domain, observed: Observed, host: str, taken: Mapping[str, Container[str]] = MappingProxyType({})
) -> tuple[Change, ...]:
    """Update the leases of a domain that is shut off to its definition, if this host attached it last.

    Leases of removed interfaces are released; the others get the domain's name.

    Args:
        domain: as it is defined.
        observed: its current state.
        host: this host.
        taken: host names of other domains, by subnet.
    """
    lease_index = observed.lease_index
    if lease_index is None or lease_index.host != host or lease_index.moving_to or observed.ports:
        return ()
    kept = tuple(entry for entry in lease_index.leases if entry[0] in domain.macs)
    changes = _drop(domain.uuid, [entry for entry in lease_index.leases if entry not in kept], observed.leases)
    for mac, subnet, address in kept:
        lease = observed.leases.get((subnet, address))
        if lease and lease.belongs_to(domain.uuid, mac) and lease.domain_name != domain.name:
            hostname = lease.hostname
            if subnet in observed.subnets:
                requested, others = dict(domain.hostnames).get(mac, ""), taken.get(subnet, ())
                hostname = host_name(domain, requested, observed.subnets[subnet], observed.leases.values(), others)
            changes.append(Put(LEASE, lease, replace(lease, domain_name=domain.name, hostname=hostname)))
    changes += _rename(domain.uuid, changes, observed)
    new = replace(lease_index, domain_name=domain.name, leases=kept)
    if new != lease_index:
        changes.append(Put(LEASE_INDEX, lease_index, new if kept else None))
    return (*changes, *virtualaddresses.follow(changes, observed))


def release_leases(observed: Observed, host: str) -> tuple[Change, ...]:
    """Release all leases of a domain, if this host attached it last.

    Leases of interfaces with a port on another host are kept, and assigned to that host. Those that outlive the domain
    are kept, too, and are no host's. During a migration all leases are assigned to the other host.
    """
    lease_index = observed.lease_index
    if lease_index and lease_index.moving_to and host in (lease_index.host, lease_index.moving_to):
        return leave(observed, host)
    if lease_index is None or lease_index.host != host:
        return ()
    elsewhere = {port.mac: port.host for port in observed.ports.values() if port.host != host}
    stay = [entry for entry in lease_index.leases if entry[0] in elsewhere]
    kept = tuple(entry for entry in lease_index.leases if entry in stay or _outlives(lease_index, entry, observed))
    given = [entry for entry in lease_index.leases if entry not in kept]
    dropped = _drop(lease_index.domain, given, observed.leases)
    left = replace(lease_index, host=elsewhere[stay[0][0]] if stay else "", leases=kept) if kept else None
    changes = [*detach(observed.ports.values(), host), *dropped]
    return (
        *changes,
        *_rename(lease_index.domain, dropped, observed),
        Put(LEASE_INDEX, lease_index, left),
        *virtualaddresses.follow(changes, observed),
    )


def _outlives(lease_index: LeaseIndex, entry: tuple[str, str, IPAddress], observed: Observed) -> bool:
    """Return whether a lease of a domain stays when the domain is no longer defined."""
    mac, subnet, address = entry
    lease = observed.leases.get((subnet, address))
    return lease is not None and lease.keep and lease.belongs_to(lease_index.domain, mac)


def roll_back(domain: Domain, host: str, observed: Observed) -> tuple[Change, ...]:
    """Roll back a failed start: delete the ports, and release the leases that this run acquired."""
    changes: list[Change] = [*detach(observed.ports.values(), host)]
    if observed.lease_index is None or observed.lease_index.host != host:
        changes += migration.hand_over(observed, host)
        return (*changes, *virtualaddresses.follow(changes, observed))
    kept = []
    for mac, subnet, address in observed.lease_index.leases:
        lease = observed.leases.get((subnet, address))
        if lease and lease.belongs_to(domain.uuid, mac) and lease.run == run_id(domain, host):
            changes.append(Put(LEASE, lease, None))
        else:
            kept.append((mac, subnet, address))
    changes += _rename(domain.uuid, changes, observed)
    left = replace(observed.lease_index, leases=tuple(kept)) if kept else None
    if left != observed.lease_index:
        changes.append(Put(LEASE_INDEX, observed.lease_index, left))
    return (*changes, *virtualaddresses.follow(changes, observed))


def remove_interface(port: Port, observed: Observed) -> tuple[Change, ...]:
    """Delete an interface's port, reservation and leases.

    Args:
        port: of the interface; it may be deleted already.
        observed: current state of the domain.
    """
    held = observed.lease_index.leases if observed.lease_index else ()
    theirs = [entry for entry in held if entry[0] == port.mac]
    is_there = port.mac in observed.ports
    end = Put(PORT, port, None) if is_there else Put(CLAIM, Claim(port.subnet, port.mac, port.domain), None)
    changes: list[Change] = [end, *_drop(port.domain, theirs, observed.leases)]
    changes += _rename(port.domain, changes, observed)
    if observed.lease_index:
        kept = tuple(entry for entry in held if entry not in theirs)
        new = replace(observed.lease_index, leases=kept)
        changes.append(Put(LEASE_INDEX, observed.lease_index, new if kept else None))
    return (*changes, *virtualaddresses.follow(changes, observed))


def release_lease(lease: Lease, observed: Observed) -> tuple[Change, ...]:
    """Release a lease of a domain that is shut off.

    Args:
        lease: the lease.
        observed: current state of the domain.

    Raises:
        FailedPrecondition: the domain runs.
    """
    port = observed.ports.get(lease.mac)
    if port:
        raise FailedPrecondition(
            f"{lease.address} is in use: domain {port.domain_name} runs on {port.host}", "stop the domain first"
        )
    changes: list[Change] = [Put(LEASE, lease, None)]
    changes += _rename(lease.domain, changes, observed)
    if observed.lease_index:
        entry = (lease.mac, lease.subnet, lease.address)
        kept = tuple(held for held in observed.lease_index.leases if held != entry)
        new = replace(observed.lease_index, leases=kept)
        changes.append(Put(LEASE_INDEX, observed.lease_index, new if kept else None))
    return (*changes, *virtualaddresses.follow(changes, observed))


def follow_subnet(subnet: Subnet, ports: Iterable[Port]) -> Iterator[Change]:
    """Give ports the security groups and rate limits of their subnet, unless their interfaces request others.

    Args:
        subnet: the subnet.
        ports: its ports.
    """
    for port in ports:
        groups = port.security_groups if port.names_groups else subnet.security_groups
        new = replace(port, security_groups=groups, limits=port.options.limits.over(subnet.limits))
        if new != port:
            yield Put(PORT, port, new)


def run_id(domain: Domain, host: str) -> str:
    """Identifier of this run of a domain."""
    return f"{host}/{domain.id}"


def _claim(port: Port, there: Port | None, observed: Observed) -> list[Change]:
    """Reserve the MAC address of a port that is created, moved, or has no reservation yet."""
    new = Claim(port.subnet, port.mac, port.domain)
    old = observed.claims.get((port.subnet, port.mac))
    stays = there is not None and there.subnet == port.subnet
    # An existing port with the MAC of another domain's port is kept; it is reported, and the next start is refused.
    if (stays and old == new) or (port.subnet, port.mac) in observed.conflicting_ports:
        return []
    return [Put(CLAIM, old, new)]


def _put_lease(lease: Lease, there: Lease | None) -> list[Change]:
    if there is None:
        return [Put(LEASE, None, lease)]
    desired = replace(lease, run=there.run)
    return [Put(LEASE, there, desired)] if desired != there else []


def _rename(domain: UUID, changes: Iterable[Change], observed: Observed) -> list[Change]:
    """Update a domain's DNS records to changes of its leases."""
    before = {lease.uuid: lease for lease in observed.leases.values() if lease.domain == domain}
    after = dict(before)
    for put in puts(LEASE, changes):
        if put.old:
            after.pop(put.old.uuid, None)
        if put.new:
            after[put.new.uuid] = put.new
    found: list[Change] = []
    for subnet in observed.subnets.values():
        old, new = (
            dns.records((lease for lease in leases.values() if lease.subnet == subnet.name), subnet.dns_domain)
            for leases in (before, after)
        )
        if old != new:
            found.append(Put(DNS_RECORDS, DnsRecords(subnet.name, old), DnsRecords(subnet.name, new)))
    return found


def _drop(
    domain: UUID,
    entries: Iterable[tuple[str, str, IPAddress]],
    leases: Mapping[tuple[str, IPAddress], Lease],
) -> list[Change]:
    there = ((mac, leases.get((subnet, address))) for mac, subnet, address in sorted(entries))
    return [Put(LEASE, lease, None) for mac, lease in there if lease and lease.belongs_to(domain, mac)]
