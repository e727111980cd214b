"""What has to change so that what is observed becomes what is wanted. Pure: values in, changes out.

The changes of one event become one transaction (ovnhook.databases.northbound). Where nothing differs there are none, so
every operation may be repeated.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from uuid import UUID

from netaddr import IPAddress

from ovnhook.base.errors import InUse
from ovnhook.domains import migration
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
from ovnhook.resources.subnet.values import DnsRecords


def attach(domain: Domain, host: str, placements: Sequence[Placement], observed: Observed) -> tuple[Change, ...]:
    """The changes that give a domain's interfaces their ports and leases.

    Args:
        domain: its `macs` and `defined_only_macs` also tell which of its ports and leases belong to removed interfaces.
        host: the chassis that the domain runs on.
        placements: one for each interface to attach.
        observed: what there is, with the leases and subnets that the placements and the lease index name.
    """
    changes: list[Change] = []
    ports: list[Change] = []
    # While a domain arrives from another host, all that it has is still that one's.
    source = next((port.host for port in observed.ports.values() if port.moving_to == host), "")
    owner, moving_to = (source, host) if source else (host, "")
    needs: list[Change] = []
    placed = {placement.interface.mac for placement in placements}
    before = observed.lease_index.leases if observed.lease_index else ()
    # Leases of interfaces that are not attached now (another kind, later in the start) stay as they are.
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
            )
            found = observed.leases.get((subnet.name, address))
            written = _put_lease(lease, found)
            changes += written
            if found and not written:
                needs.append(Need(LEASE, found))
        there = observed.ports.get(mac)
        port = Port(
            id=port_id(domain, placement.interface),
            subnet=subnet.name,
            mac=mac,
            addresses=placement.addresses,
            domain=domain.uuid,
            domain_name=domain.name,
            host=owner,
            kept_by=domain.kept_by,
            moving_to=moving_to,
            index=_index(domain, mac, there),
        )
        ports += _claim(port, there, observed)
        if there is None:
            ports.append(Put(PORT, None, port))
        elif there != port:
            ports.append(Put(PORT, there, port))
    used = {(subnet, address) for _, subnet, address in held}  # an address may go from one interface to another
    changes += _drop(domain.uuid, [entry for entry in before if entry[1:] not in used], observed.leases)
    lease_index = LeaseIndex(domain.uuid, domain.name, owner, tuple(sorted(held)), domain.kept_by, moving_to)
    wanted = lease_index if held else None
    if wanted != observed.lease_index:
        changes.append(Put(LEASE_INDEX, observed.lease_index, wanted))
    changes += _rename(domain.uuid, changes, observed)
    changes += ports
    changes += detach((port for mac, port in observed.ports.items() if mac not in domain.macs), host)
    if changes:
        subnets = {placement.subnet.name: placement.subnet for placement in placements}
        return (*(Need(SUBNET, subnet) for subnet in subnets.values()), *needs, *changes)
    return ()


def _index(domain: Domain, mac: str, there: Port | None) -> int | None:
    """The place of an interface among its domain's; a client, which may attach them one by one, does not change it."""
    if domain.kept_by is Owner.CLIENT and there and there.index is not None:
        return there.index
    return domain.macs.index(mac) if mac in domain.macs else None


def detach(ports: Iterable[Port], host: str) -> tuple[Change, ...]:
    """The changes that take a domain's ports away: those of this host, and none that it has lost to another.

    In a migration they are the other host's afterwards, whichever of the two this is: the source when the domain has
    left it, the destination when the domain does not come.
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
    """The changes for a domain that does not run on this host any more; what it holds it keeps."""
    return (*detach(observed.ports.values(), host), *migration.hand_over(observed, host))


def with_current_placement(domain: Domain, observed: Observed) -> Domain:
    """A running domain as it can be without a change under its guest's feet.

    An interface that has its port stays on its subnet with its addresses, whatever the metadata says by now.
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
    """What the metadata of a running domain asks for that has to wait for its next start, in words."""
    found = []
    for interface in domain.interfaces:
        request, port = interface.request, observed.ports.get(interface.mac)
        if port is None:
            continue
        wanted = [f"subnet '{request.subnet}'"] if request.subnet not in ("", port.subnet) else []
        wanted += [f"address {address}" for address in request.addresses if address not in port.addresses]
        if wanted:
            has = " ".join(map(str, port.addresses))
            found.append(
                f"domain {domain.name}: interface {port.mac}: {', '.join(wanted)} of its metadata takes effect at the"
                f" domain's next start; until then it has {has} on subnet {port.subnet}"
            )
    return tuple(found)


def apply_definition(
    domain: Domain, observed: Observed, host: str, taken: Mapping[str, Container[str]] = MappingProxyType({})
) -> tuple[Change, ...]:
    """The changes that make what a domain holds that does not run fit to its definition, if this host had it last.

    Args:
        domain: as it is defined: of the interfaces that it has no more the leases are given back, and what stays has
            its name.
        observed: what there is of it.
        host: this one.
        taken: names that other domains have, by subnet.
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
                asked, others = dict(domain.hostnames).get(mac, ""), taken.get(subnet, ())
                hostname = host_name(domain, asked, observed.subnets[subnet], observed.leases.values(), others)
            changes.append(Put(LEASE, lease, replace(lease, domain_name=domain.name, hostname=hostname)))
    changes += _rename(domain.uuid, changes, observed)
    new = replace(lease_index, domain_name=domain.name, leases=kept)
    if new != lease_index:
        changes.append(Put(LEASE_INDEX, lease_index, new if kept else None))
    return tuple(changes)


def release_leases(observed: Observed, host: str) -> tuple[Change, ...]:
    """The changes that give back all that a domain holds, if this host was the last one to attach it.

    What it holds for an interface that another host has stays, as that host's.
    If it was on its way from here to another host, or from there to here, what it holds becomes the other one's.
    """
    lease_index = observed.lease_index
    if lease_index and lease_index.moving_to and host in (lease_index.host, lease_index.moving_to):
        return leave(observed, host)
    if lease_index is None or lease_index.host != host:
        return ()
    elsewhere = {port.mac: port.host for port in observed.ports.values() if port.host != host}
    kept = tuple(entry for entry in lease_index.leases if entry[0] in elsewhere)
    given = [entry for entry in lease_index.leases if entry not in kept]
    dropped = _drop(lease_index.domain, given, observed.leases)
    left = replace(lease_index, host=elsewhere[kept[0][0]], leases=kept) if kept else None
    return (
        *detach(observed.ports.values(), host),
        *dropped,
        *_rename(lease_index.domain, dropped, observed),
        Put(LEASE_INDEX, lease_index, left),
    )


def roll_back(domain: Domain, host: str, observed: Observed) -> tuple[Change, ...]:
    """The changes that undo what this very run of a domain was given before it failed to start."""
    changes: list[Change] = [*detach(observed.ports.values(), host)]
    if observed.lease_index is None or observed.lease_index.host != host:
        return (*changes, *migration.hand_over(observed, host))
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
    return tuple(changes)


def remove_interface(port: Port, observed: Observed) -> tuple[Change, ...]:
    """The changes that end one interface of a domain: its port goes, and all that is kept for it.

    Args:
        port: the interface's, which may be gone already.
        observed: what there is of the domain.
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
    return tuple(changes)


def release_lease(lease: Lease, observed: Observed) -> tuple[Change, ...]:
    """The changes that end a lease whose domain does not run.

    Args:
        lease: which one.
        observed: what there is of the domain.

    Raises:
        InUse: it runs.
    """
    port = observed.ports.get(lease.mac)
    if port:
        raise InUse(
            f"{lease.address} is in use: domain {port.domain_name} runs on {port.host}", "stop the domain first"
        )
    changes: list[Change] = [Put(LEASE, lease, None)]
    changes += _rename(lease.domain, changes, observed)
    if observed.lease_index:
        entry = (lease.mac, lease.subnet, lease.address)
        kept = tuple(held for held in observed.lease_index.leases if held != entry)
        new = replace(observed.lease_index, leases=kept)
        changes.append(Put(LEASE_INDEX, observed.lease_index, new if kept else None))
    return tuple(changes)


def run_id(domain: Domain, host: str) -> str:
    """What tells this run of a domain from its others."""
    return f"{host}/{domain.id}"


def port_id(domain: Domain, interface: Interface) -> str:
    """The name of an interface's port: the interfaceid that the domain keeps, else one that stays by itself."""
    return interface.interface_id or str(domain.port_uuid(interface.mac))


def _claim(port: Port, there: Port | None, observed: Observed) -> list[Change]:
    """What reserves the MAC address of a port that is to be made or moved, or of one that has no claim yet."""
    new = Claim(port.subnet, port.mac, port.domain)
    old = observed.claims.get((port.subnet, port.mac))
    stays = there is not None and there.subnet == port.subnet
    # A port that runs beside another domain's of the same MAC goes on so: it is reported, and its next start refused.
    if (stays and old == new) or (port.subnet, port.mac) in observed.conflicting_ports:
        return []
    return [Put(CLAIM, old, new)]


def _put_lease(lease: Lease, there: Lease | None) -> list[Change]:
    if there is None:
        return [Put(LEASE, None, lease)]
    wanted = replace(lease, run=there.run)
    return [Put(LEASE, there, wanted)] if wanted != there else []


def _rename(domain: UUID, changes: Iterable[Change], observed: Observed) -> list[Change]:
    """What the names of a domain have to become when its leases change."""
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
