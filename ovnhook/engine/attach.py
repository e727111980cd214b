"""The verbs that hosts and the control service share: attach a domain on a host, detach it, forget it.

Each may be repeated, each ends by its deadline, and each changes the northbound database in one transaction.
"""

from __future__ import annotations

import itertools
import logging
import random
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar
from uuid import UUID

from netaddr import IPAddress, IPNetwork

from ovnhook.base import uuids
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import (
    AlreadyExists,
    Conflict,
    Exhausted,
    InvalidRequest,
    OvnhookError,
    PermissionDenied,
    Unavailable,
    Unrepaired,
)
from ovnhook.base.text import quoted
from ovnhook.databases.northbound import Northbound
from ovnhook.domains import choice, migration, plan
from ovnhook.domains.choice import Placement
from ovnhook.domains.values import Domain, Interface
from ovnhook.ovsdb.connection import ConstraintViolation
from ovnhook.resources.changes import AddLease, Change, DropLease, RemovePort, SetNames, UpdateLease, describe
from ovnhook.resources.port.values import Owner, Port
from ovnhook.resources.state import Observed
from ovnhook.resources.subnet import address, names
from ovnhook.resources.subnet import rules as subnets
from ovnhook.resources.subnet.rows import server_mac
from ovnhook.resources.subnet.values import Subnet, is_isolated_subnet, isolated_subnet
from ovnhook.resources.subnet.wanted import Underlay, Wanted, make

_log = logging.getLogger(__name__)

_PAUSE = 0.02  # seconds, the mean pause between two tries
_OUTAGE_TRIES = 5
_AT_A_TIME = 1000  # addresses between two looks at the deadline

T = TypeVar("T")

Taken = dict[str, set[str]]
"""Host names that turned out to be other domains', by subnet."""


@dataclass(frozen=True)
class Attached:
    """What became of a domain's interfaces.

    Attributes:
        placements: where each went; none where the domain was left alone.
        arrives: whether it is on its way from another host, which has it still.
        refused: why others of a running domain have no network.
        put_off: what its metadata asks for that has to wait until it starts again, in words.
    """

    placements: tuple[Placement, ...] = ()
    arrives: bool = False
    refused: tuple[OvnhookError, ...] = ()
    put_off: tuple[str, ...] = ()


class Attachment:
    """Gives domains their ports and leases, and takes them away, on whichever host. Safe to share between threads.

    Every method raises Unavailable when the database did not answer in time.

    Args:
        northbound: where they are.
        pool: the network that domains' own subnets are carved from.
        carried: tells the underlay, by a deadline; asked when a domain's own subnet is made.
    """

    def __init__(self, northbound: Northbound, pool: IPNetwork, carried: Callable[[Deadline], Underlay]) -> None:
        self.northbound = northbound
        self._pool = pool
        self._carried = carried

    def attach(
        self, domain: Domain, host: str, deadline: Deadline, *, running: bool = False, take_over: bool = True
    ) -> Attached:
        """Give every interface of a domain its port and its address.

        Args:
            domain: with its interfaces as they are to be: what it holds for others is given back.
            host: the chassis that it runs on.
            deadline: when to give up.
            running: whether it runs already. When a domain starts, ports that are another host's become this host's,
                unless it arrives from that one. One that runs is left alone if it has such ports, or migrates; its
                interfaces stay on their subnets with their addresses, and one that can't be attached does not keep the
                others from it.
            take_over: whether it may have ports that are another host's.

        Raises:
            PermissionDenied: it may not, and has one.
            InvalidRequest, NotFound, AlreadyExists, Exhausted: the domain asks for something that can't be.
        """
        attached = Attached()
        taken: Taken = defaultdict(set)

        def make() -> tuple[Change, ...]:
            nonlocal attached
            made, found, observed = self._place(domain, host, taken, deadline, running=running)
            if found is None:
                return ()
            if not take_over:
                self._check_nobody_elsewhere(domain, host, deadline)
            attached = found
            return (*made, *plan.attach(domain, host, found.placements, observed))

        try:
            self._commit(make, deadline, taken, {interface.request.hostname for interface in domain.interfaces})
        except ConstraintViolation as error:
            raise self._name_owner(domain, error, deadline) from error
        return attached

    def announce(self, domain: Domain, host: str, deadline: Deadline) -> None:
        """Let a host bind a domain's ports beside the one that it runs on: it is about to migrate there."""
        self._commit(lambda: migration.announce(self._observe(domain, deadline), host), deadline)

    def arrive(self, domain: Domain, host: str, deadline: Deadline) -> None:
        """Make a host the only one of a domain's ports: the domain has migrated there."""
        self._commit(lambda: migration.arrive(self._observe(domain, deadline), host), deadline)

    def roll_back(self, domain: Domain, host: str, deadline: Deadline) -> None:
        """Take back what this run of a domain was given, because it failed to start."""
        self._commit(lambda: self._roll_back(domain, host, deadline), deadline)

    def detach(self, domain: Domain, host: str, deadline: Deadline) -> None:
        """Take a domain's ports of a host away, or, in a migration, leave them to the other host; its leases stay."""
        self._commit(lambda: plan.leave(self._observe(domain, deadline), host), deadline)

    def keep(self, domain: Domain, host: str, deadline: Deadline) -> None:
        """Make what a stopped domain holds fit to its definition, if that host was the last one to attach it."""
        taken: Taken = defaultdict(set)

        def make() -> tuple[Change, ...]:
            changes = plan.keep(domain, self._observe(domain, deadline), host, taken)
            return (*changes, *self._end_own_subnet(domain, changes, deadline)) if changes else ()

        self._commit(make, deadline, taken, {name for _, name in domain.hostnames})

    def stay(self, domain: Domain, host: str, deadline: Deadline) -> None:
        """Make a host the only one of a domain's ports again: the domain is not leaving it after all."""
        self._commit(lambda: migration.stay(self._observe(domain, deadline), host), deadline)

    def commit(self, changes: Sequence[Change], deadline: Deadline) -> None:
        """Carry out changes that were planned elsewhere."""
        self._commit(lambda: tuple(changes), deadline)

    def forget(self, domain: Domain, host: str, deadline: Deadline) -> None:
        """Give back all that a domain holds that exists no more, if that host was the last one to attach it."""
        self._commit(lambda: self._forget(domain, host, deadline), deadline)

    def remove(self, port: Port, deadline: Deadline) -> None:
        """End one interface of a domain: its port, its leases, and the domain's own subnet if that was its last one."""

        def make() -> tuple[Change, ...]:
            domain = Domain(port.domain, port.domain_name, macs=(port.mac,))
            changes = plan.take_away(port, self._observe(domain, deadline))
            return (*changes, *self._end_own_subnet(domain, changes, deadline))

        self._commit(make, deadline)

    def _commit(
        self,
        make: Callable[[], tuple[Change, ...]],
        deadline: Deadline,
        taken: Taken | None = None,
        asked: Collection[str] = (),
    ) -> None:
        """Plan and commit, again whenever somebody else was faster.

        Args:
            make: plans.
            deadline: when to give up.
            taken: where host names are added that turn out to be other domains'.
            asked: the host names that nothing else will do for.
        """

        def once() -> None:
            changes = make()
            try:
                self.northbound.commit(changes, deadline)
            except Conflict:
                self._check_names(changes, defaultdict(set) if taken is None else taken, asked, deadline)
                freed = self._free_names(changes, deadline)
                if freed == changes:
                    raise
                self.northbound.commit(freed, deadline)
            for words in filter(None, map(describe, changes)):
                _log.info("%s", words)

        repeat(once, deadline, outage_tries=_OUTAGE_TRIES if self.northbound.clustered else 1)

    def _observe(self, domain: Domain, deadline: Deadline) -> Observed:
        """All there is of a domain: also of interfaces that its XML does not have any more."""
        return self.northbound.observe_held(domain.uuid, domain.macs, deadline)

    def _place(
        self, domain: Domain, host: str, names_taken: Taken, deadline: Deadline, *, running: bool
    ) -> tuple[tuple[Change, ...], Attached | None, Observed]:
        """What makes the domain's own subnet, where each interface is to go (None: leave it alone), what there is."""
        asking = {name for interface in domain.interfaces for name in choice.subnet_names(interface, "")}
        macs = [interface.mac for interface in domain.interfaces]
        observed = self.northbound.observe(domain.uuid, macs, asking, deadline)
        ports = observed.ports.values()
        arrives = any(port.moving_to == host for port in ports)
        named = {interface.mac: interface.request.subnet for interface in domain.interfaces}
        put_off: tuple[str, ...] = ()
        if running:
            if _is_elsewhere(observed, host):
                return (), None, observed
            put_off = plan.put_off(domain, observed)
        domain = _accepted(domain, observed, runs=running or arrives)
        if not (running or domain.interfaces):
            return (), None, observed
        default = observed.registry.default_subnet if observed.registry else ""
        held = observed.holding.leases if observed.holding else ()
        more = {name for interface in domain.interfaces for name in choice.subnet_names(interface, default)}
        more = (more | {name for _, name, _ in held}) - asking
        if more:
            found = self.northbound.subnets_named(more, default, deadline)
            observed = observed.having(subnets={**observed.subnets, **found})
        absent = (asking | more) - observed.subnets.keys()
        observed = observed.having(unrepaired=self.northbound.without_switch(absent, deadline))
        made, observed = self._with_own_subnet(domain, observed, deadline)
        gone = {mac for mac, _, _ in held} - {*domain.macs}
        if gone:
            left = self.northbound.observe(domain.uuid, gone, (), deadline).ports
            observed = observed.having(ports={**observed.ports, **left})
            if running and _is_elsewhere(observed, host):
                return (), None, observed
        observed = self._with_reserved(domain, default, observed, deadline)
        placements: list[Placement] = []
        refused: list[OvnhookError] = []
        for interface in domain.interfaces:
            try:
                usual = choice.kept_subnet(domain, interface, observed) or default
                subnet = choice.place(interface, usual, observed.subnets, observed.unrepaired)
                if is_isolated_subnet(subnet.name) and subnet.name != isolated_subnet(domain.uuid):
                    raise InvalidRequest(
                        f"subnet {subnet.name} is another domain's own", "ovnhook subnet create --help"
                    )
                taken = {
                    where for placement in placements if placement.subnet == subnet for where in placement.addresses
                }
                addresses = self._addresses(domain, interface, subnet, observed, taken, deadline)
                _check_fits(domain, interface, subnet, observed, running=running, arrives=arrives)
                if running:
                    self._check_running(domain, interface, subnet, observed, deadline)
            except OvnhookError as error:
                told = error.within(f"domain {domain.name}: interface {interface.mac}")
                if not running or (isinstance(error, Unavailable) and not isinstance(error, Unrepaired)):
                    raise told from error
                refused.append(told)
                continue
            by_default = subnet.name == usual and named[interface.mac] != usual != interface.portgroup
            with_name = _named(domain, interface, subnet, observed, names_taken)
            placements.append(Placement(with_name, subnet, addresses, by_default))
        return made, Attached(tuple(placements), arrives, tuple(refused), put_off), observed

    def _with_reserved(self, domain: Domain, default: str, observed: Observed, deadline: Deadline) -> Observed:
        """Observed with the addresses and MAC addresses that are reserved of those that a domain may have."""
        held = observed.holding.leases if observed.holding else ()
        may_go = [
            (interface, name)
            for interface in domain.interfaces
            for name in {
                *choice.subnet_names(interface, default),
                *(name for mac, name, _ in held if mac == interface.mac),
            }
        ]
        asked = {(name, where) for interface, name in may_go for where in interface.request.addresses}
        leases, claims = self.northbound.reserved(
            asked | {(name, where) for _, name, where in held},
            {(name, interface.mac) for interface, name in may_go},
            deadline,
        )
        others = [claim for claim in claims.values() if claim.domain != domain.uuid]
        return observed.having(leases=leases, claims=claims, rivals=self.northbound.claimants(others, deadline))

    def _with_own_subnet(
        self, domain: Domain, observed: Observed, deadline: Deadline
    ) -> tuple[tuple[Change, ...], Observed]:
        """What makes the domain's own subnet, where an interface asks for it and it is not there; observed with it."""
        name = isolated_subnet(domain.uuid)
        asking = [interface.mac for interface in domain.interfaces if interface.request.isolated]
        if not asking or name in observed.subnets or name in observed.unrepaired:
            return (), observed
        cloud = self.northbound.cloud(deadline)
        for there in cloud.subnets:
            if there.name == name:  # made since, by another call for this domain
                return (), observed.having(subnets={**observed.subnets, name: there})
        carried = self._carried(deadline)
        foreign = self.northbound.is_foreign_switch(name, deadline)
        try:
            wanted = Wanted(name, str(subnets.carve(self._pool, cloud)), isolated=True)
            changes = subnets.create(wanted, carried, cloud, name_is_foreign=foreign)
        except OvnhookError as error:
            raise error.within(f"domain {domain.name}: interface {asking[0]}") from error
        return changes, observed.having(subnets={**observed.subnets, name: make(wanted, carried)})

    def _roll_back(self, domain: Domain, host: str, deadline: Deadline) -> tuple[Change, ...]:
        changes = plan.roll_back(domain, host, self._observe(domain, deadline))
        own = isolated_subnet(domain.uuid)
        given = any(isinstance(change, DropLease) and change.lease.subnet == own for change in changes)
        return (*changes, *self._end_own_subnet(domain, changes, deadline)) if given else changes

    def _forget(self, domain: Domain, host: str, deadline: Deadline) -> tuple[Change, ...]:
        changes = plan.forget(self._observe(domain, deadline), host)
        return (*changes, *self._end_own_subnet(domain, changes, deadline))

    def _end_own_subnet(self, domain: Domain, before: Sequence[Change], deadline: Deadline) -> tuple[Change, ...]:
        """What takes the domain's own subnet away, if `before` leaves nothing in it."""
        name = isolated_subnet(domain.uuid)
        if not self.northbound.subnets_named([name], "", deadline):
            return ()
        dropped = {change.lease.uuid for change in before if isinstance(change, DropLease)}
        removed = {change.port.id for change in before if isinstance(change, RemovePort)}
        used = self.northbound.leased(name, deadline) - dropped
        if used or {*self.northbound.port_names(name, deadline)} - removed:
            return ()
        cloud = self.northbound.cloud(deadline)
        return subnets.delete(subnets.find(name, cloud.subnets), cloud, (), ())

    def _addresses(
        self,
        domain: Domain,
        interface: Interface,
        subnet: Subnet,
        observed: Observed,
        taken: Collection[IPAddress],
        deadline: Deadline,
    ) -> tuple[IPAddress, ...]:
        """Of each of the subnet's networks what the interface asks for, else what it has, else what is free."""
        for wanted in interface.request.addresses:
            address.check(subnet, wanted)
            there = observed.leases.get((subnet.name, wanted))
            if there and not choice.may_have(there, domain, interface):
                raise AlreadyExists(
                    f"address {wanted} of subnet {subnet.name} is leased to domain {there.domain_name} ({there.mac})"
                )
            if wanted in taken:
                raise AlreadyExists(f"address {wanted} is given to another interface of this domain")
        known = [*interface.request.addresses]
        for mac, name, held in observed.holding.leases if observed.holding else ():
            there = observed.leases.get((name, held))
            ours = there is None or there.is_held_by(domain.uuid, mac)
            free = held not in taken and held not in subnet.gateways.values()
            if (mac, name) == (interface.mac, subnet.name) and ours and free:
                known.append(held)
        found = []
        for network in subnet.gateways:
            fitting = (one for one in known if one in network)
            found.append(next(fitting, None) or self._free_address(domain, interface, subnet, network, taken, deadline))
        return tuple(found)

    def _free_address(
        self,
        domain: Domain,
        interface: Interface,
        subnet: Subnet,
        network: IPNetwork,
        taken: Collection[IPAddress],
        deadline: Deadline,
    ) -> IPAddress:
        seed = f"{domain.uuid}/{interface.mac}"
        candidates = (candidate for candidate in address.candidates(subnet, network, seed) if candidate not in taken)
        for size in address.WINDOWS:
            window = list(itertools.islice(candidates, size))
            leased = self.northbound.leased_of(subnet.name, window, deadline)
            for candidate in window:
                if uuids.lease(subnet.name, str(candidate)) not in leased:
                    return candidate
        leased = self.northbound.leased(subnet.name, deadline)
        for number, candidate in enumerate(candidates):
            if number % _AT_A_TIME == 0:
                deadline.check(f"looking for a free address in subnet {subnet.name}")
            if uuids.lease(subnet.name, str(candidate)) not in leased:
                return candidate
        raise Exhausted(
            f"subnet {subnet.name} is full: all {address.capacity(subnet)} addresses are leased",
            f"ovnhook lease list --subnet {subnet.name}",
        )

    def _check_names(self, changes: Sequence[Change], taken: Taken, asked: Collection[str], deadline: Deadline) -> None:
        """Note the host names of other domains for which changes failed.

        Raises:
            AlreadyExists: one of them was asked for.
        """
        for change in changes:
            if isinstance(change, AddLease | UpdateLease):
                lease = change.lease if isinstance(change, AddLease) else change.new
                error = self._name_taken(lease.domain, lease.subnet, lease.hostname, deadline)
                if error and lease.hostname in asked:
                    raise error.within(f"domain {lease.domain_name}: interface {lease.mac}")
                if error and lease.hostname not in taken[lease.subnet]:
                    taken[lease.subnet].add(lease.hostname)
                    _log.warning("domain %s: another host name is derived: %s", lease.domain_name, error.message)

    def _free_names(self, changes: tuple[Change, ...], deadline: Deadline) -> tuple[Change, ...]:
        """The same changes, which also replace records that are in the way and that no lease accounts for."""
        own = {change.new.domain for change in changes if isinstance(change, UpdateLease)}
        own |= {change.lease.domain for change in changes if isinstance(change, AddLease | DropLease)}
        return tuple(
            replace(change, old={**change.old, **self._stale_records(change, own, deadline)})
            if isinstance(change, SetNames)
            else change
            for change in changes
        )

    def _stale_records(self, change: SetNames, own: Collection[UUID], deadline: Deadline) -> dict[str, str]:
        """The records of a subnet that have a name of a change and are of no lease: a person, or a crash, left them."""
        there = self.northbound.names(change.subnet, deadline)
        in_the_way = {
            record: there[record]
            for record, value in change.new.items()
            if there.get(record, value) not in (value, change.old.get(record))
        }
        places = {
            (change.subnet, IPAddress(place))
            for record, value in in_the_way.items()
            for place in names.places(record, value)
            if address.is_ip(place)
        }
        leases = self.northbound.leases_at(places, deadline, pass_over=True).values() if places else ()
        others = {lease.hostname for lease in leases if lease.domain not in own}
        # An address that is leased in this very transaction is nobody else's.
        return {
            record: value
            for record, value in in_the_way.items()
            if record.endswith(".arpa") or record.partition(".")[0] not in others
        }

    def _check_running(
        self, domain: Domain, interface: Interface, subnet: Subnet, observed: Observed, deadline: Deadline
    ) -> None:
        """Raise AlreadyExists if an interface of a running domain alone would make its transaction fail."""
        name = interface.request.hostname
        leases = [lease for lease in observed.leases.values() if lease.is_held_by(domain.uuid, interface.mac)]
        error: OvnhookError | None = None
        if name and name not in (lease.hostname for lease in leases if lease.subnet == subnet.name):
            error = self._name_taken(domain.uuid, subnet.name, name, deadline)
        if not error and interface.mac not in observed.ports:
            error = self._id_taken(domain, interface, deadline)
        if error:
            raise error

    def _check_nobody_elsewhere(self, domain: Domain, host: str, deadline: Deadline) -> None:
        """Raise PermissionDenied if another host has a port of a domain.

        It is looked for after what was planned with was read: a port that another host has since is in the way of that.
        """
        for port in self._observe(domain, deadline).ports.values():
            if port.host != host:
                raise PermissionDenied(
                    f"domain {domain.name} has interface {port.mac} on host '{port.host}', not on {host}",
                    f"detach it on {port.host} first, or ask as operator",
                )

    def _name_taken(self, domain: UUID, subnet: str, name: str, deadline: Deadline) -> AlreadyExists | None:
        """Who has a host name in a subnet that a domain asks for."""
        for there in self.northbound.leases(deadline, subnet=subnet, hostname=name):
            if there.domain != domain:
                return AlreadyExists(
                    f"host name '{name}' of subnet {subnet} is that of domain {there.domain_name} on {there.host}"
                    f" ({there.address}, {there.mac})",
                    "choose another host name; one is free when the domain that has it is undefined or deleted",
                )
        return None

    def _name_owner(self, domain: Domain, error: ConstraintViolation, deadline: Deadline) -> OvnhookError:
        """The refusal with the owner of the interface id that is taken, where the database still says who that is."""
        try:
            for interface in domain.interfaces:
                if taken := self._id_taken(domain, interface, deadline):
                    return taken.within(f"domain {domain.name}: interface {interface.mac}")
        except Unavailable as why:
            _log.warning("domain %s: the owner of its interfaceid can't be read: %s", domain.name, why)
        return error.within(f"domain {domain.name}")

    def _id_taken(self, domain: Domain, interface: Interface, deadline: Deadline) -> OvnhookError | None:
        """Who has the interface id that an interface of a domain has."""
        name = interface.interface_id
        taken, owner = self.northbound.port_named(name, deadline) if name else (False, None)
        if not taken or (owner and owner.domain == domain.uuid and owner.mac == interface.mac):
            return None
        whose = f"domain {owner.domain_name} on {owner.host}" if owner else "a port that is not ovnhook's"
        return AlreadyExists(
            f"interfaceid {name} belongs to {whose}",
            f"virsh edit {quoted(domain.name)}: take the interfaceid out of <virtualport>, libvirt makes a new one",
        )


def _named(domain: Domain, interface: Interface, subnet: Subnet, observed: Observed, taken: Taken) -> Interface:
    """An interface with the host name that it is to have in its subnet."""
    others = taken.get(subnet.name, ())
    name = choice.host_name(domain, interface.request.hostname, subnet, observed.leases.values(), others)
    return replace(interface, request=replace(interface.request, hostname=name))


def _accepted(domain: Domain, observed: Observed, *, runs: bool) -> Domain:
    """A domain as it can be attached: where it runs, here or at its source, without a change; else as its XML says.

    Raises:
        InvalidRequest: it is to start, and its XML asks for what no port of OVN can give.
    """
    if runs:
        return plan.settled(domain, observed)
    choice.refuse_unsupported(domain)
    return domain


def _check_fits(
    domain: Domain, interface: Interface, subnet: Subnet, observed: Observed, *, running: bool, arrives: bool
) -> None:
    """Raise OvnhookError if an interface can't be on a subnet: its MAC address, and what its XML asks for.

    What runs already, here or where it comes from, goes on as it is: another version may have let it start.
    """
    runs = running or arrives
    if not (runs and interface.mac in observed.ports):
        _check_mac(domain, interface, subnet, observed)
    held = observed.holding.leases if observed.holding else ()
    known = {*observed.ports, *(mac for mac, _, _ in held)}
    for unsupported in choice.unsupported(domain, interface, subnet):
        if not (runs and interface.mac in known):
            raise InvalidRequest(unsupported.what, unsupported.hint)
        if arrives:
            _log.warning(
                "domain %s: interface %s: %s: %s", domain.name, unsupported.mac, unsupported.what, unsupported.hint
            )


def _check_mac(domain: Domain, interface: Interface, subnet: Subnet, observed: Observed) -> None:
    """Raise AlreadyExists if an interface would share its MAC address with another one of its subnet."""
    mac = interface.mac
    if rival := observed.rivals.get((subnet.name, mac)):
        whose = f"domain {rival.domain_name} on {rival.host}"
    elif mac == server_mac(subnet):
        whose = "its gateway"
    else:
        return
    another = "leave it out, or choose another one"
    if domain.kept_by is Owner.LIBVIRT:
        another = f"virsh edit {domain.name}: take <mac address='{mac}'/> out, libvirt makes a new one"
    raise AlreadyExists(f"MAC address {mac} of subnet {subnet.name} is that of {whose}", another)


def _is_elsewhere(observed: Observed, host: str) -> bool:
    """Whether another host has, or is to have, a domain that runs on this one."""
    moves = observed.holding is not None and observed.holding.moving_to != ""
    return moves or any(port.host != host or port.moving_to for port in observed.ports.values())


def repeat(action: Callable[[], T], deadline: Deadline, *, outage_tries: int = 1) -> T:
    """Do something again while somebody else is faster, until the deadline, with a random pause in between.

    Args:
        action: what is done.
        deadline: when to give up.
        outage_tries: how often it is tried when the database is out of reach: a cluster comes back by itself.

    Raises:
        Unavailable: time is over, or the database stayed out of reach.
    """
    outages = 0
    while True:
        try:
            return action()
        except Unavailable as error:
            if not isinstance(error, Conflict):
                outages += 1
            pause = random.uniform(0, 2 * _PAUSE) * (1 + 5 * outages)
            if outages >= outage_tries or deadline.remaining <= pause:
                raise
            time.sleep(pause)
