"""What libvirt says of domains, as the values that are compared and attached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from uuid import UUID

from ovnhook import domainxml
from ovnhook.agent.hypervisor import Sight
from ovnhook.differences import Domains, Running
from ovnhook.errors import InvalidRequest
from ovnhook.model import Domain


def running(seen: Sight, bridge: str) -> Domain:
    """A domain that runs, with the interfaces that only its definition has as those that may come back.

    Args:
        seen: with its live XML.
        bridge: name of the integration bridge.

    Raises:
        InvalidRequest: its metadata asks for something that has no meaning.
    """
    domain = domainxml.parse(seen.live, bridge, running=True)
    stored = domainxml.identify(seen.definition).macs if seen.definition else ()
    return replace(domain, spare=tuple(mac for mac in stored if mac not in domain.macs))


def defined(seen: Sight) -> Domain:
    """A domain as it is defined, with the interfaces that it will have when it comes out of its image."""
    domain = domainxml.identify(seen.definition)
    saved = domainxml.identify(seen.saved).macs if seen.saved else ()
    return replace(domain, macs=(*domain.macs, *(mac for mac in saved if mac not in domain.macs)))


def domains(seen: Mapping[UUID, Sight], bridge: str) -> tuple[Domains, list[InvalidRequest]]:
    """All domains of a host, and what is wrong with the metadata of those that run."""
    active: dict[UUID, Running] = {}
    senseless: list[InvalidRequest] = []
    for uuid, one in seen.items():
        if not one.live:
            continue
        taps = domainxml.taps(one.live)
        try:
            active[uuid] = Running(running(one, bridge), taps, one.paused, one.busy)
        except InvalidRequest as error:
            senseless.append(error)
            known = domainxml.identify(one.live)
            active[uuid] = Running(known, taps, one.paused, one.busy, makes_sense=False)
    return Domains(active, {uuid: defined(one) for uuid, one in seen.items() if one.definition}), senseless
