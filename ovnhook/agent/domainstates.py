"""Domain states from libvirt, parsed into values for comparison and attachment."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from uuid import UUID

from ovnhook.agent import libvirtfiles
from ovnhook.agent.hypervisor import DomainState, DomainStates
from ovnhook.base.errors import InvalidRequest
from ovnhook.diagnosis.values import Difference, Domains, ManualRepair, Running
from ovnhook.domains.domainxml import DomainXML
from ovnhook.domains.values import Domain


def running(seen: DomainState, bridge: str) -> Domain:
    """Return a running domain; interfaces that only its stored definition has are its `defined_only_macs`.

    Args:
        seen: its state, with live XML.
        bridge: name of the integration bridge.

    Raises:
        InvalidRequest: its metadata is invalid.
    """
    return _running_domain(DomainXML(seen.live), seen, bridge)


def _running_domain(live: DomainXML, seen: DomainState, bridge: str) -> Domain:
    # Attached interfaces keep their placement: a network that was deleted since needs no warning.
    network = partial(libvirtfiles.network, level=logging.DEBUG)
    domain = live.domain(bridge, network, running=True)
    stored = DomainXML(seen.definition).identity.macs if seen.definition else ()
    return replace(domain, defined_only_macs=tuple(mac for mac in stored if mac not in domain.macs))


def defined(seen: DomainState, bridge: str) -> Domain:
    """Parse a domain's stored definition, with the interfaces of its managed save image."""
    definition = DomainXML(seen.definition)
    image = DomainXML(seen.saved) if seen.saved else definition
    domain = definition.identity
    return replace(
        domain,
        macs=(*domain.macs, *(mac for mac in image.identity.macs if mac not in domain.macs)),
        hostnames=tuple(image.hostnames(bridge).items()),
    )


def domains(seen: DomainStates, bridge: str) -> tuple[Domains, list[InvalidRequest]]:
    """Parse all domains of a host; also returns the errors in the metadata of running ones."""
    active: dict[UUID, Running] = {}
    stored: dict[UUID, Domain] = {}
    unknown: dict[UUID, Difference | None] = dict.fromkeys(seen.in_transition)
    unknown |= {uuid: _silent(name) for uuid, name in seen.unresponsive.items()}
    invalid: list[InvalidRequest] = []
    for uuid, one in seen.domains.items():
        try:
            if one.live:
                active[uuid] = _running(one, bridge, invalid)
            if one.definition:
                stored[uuid] = defined(one, bridge)
        except InvalidRequest as error:
            active.pop(uuid, None)
            unknown[uuid] = Difference(str(uuid), "", str(error), ManualRepair(f"virsh dumpxml {uuid}"))
    return Domains(active, stored, unknown), invalid


def _silent(name: str) -> Difference:
    hint = f"is a hook in /etc/libvirt/hooks/qemu.d waiting? virsh domstate {name}"
    return Difference(name, "", "libvirt does not answer for it", ManualRepair(hint))


def _running(one: DomainState, bridge: str, invalid: list[InvalidRequest]) -> Running:
    live = DomainXML(one.live)
    taps = live.taps()
    try:
        return Running(_running_domain(live, one, bridge), taps, one.paused, one.busy, hangs=one.hangs)
    except InvalidRequest as error:
        invalid.append(error)
        return Running(live.identity, taps, one.paused, one.busy, is_valid=False, hangs=one.hangs)
