"""Attributes of the metadata that set options and security groups of an interface's port. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ovnhook.base.errors import InvalidRequest
from ovnhook.resources import limits
from ovnhook.resources.limits import Limits
from ovnhook.resources.port import options
from ovnhook.resources.port.options import PortOptions
from ovnhook.resources.security_group.values import group_names

ATTRIBUTES = (
    *("allowed-addresses", "port-security", "security-groups"),
    *("limit-inbound", "limit-outbound", "virtual-address"),
)


def port_options(attributes: Mapping[str, str], where: str) -> PortOptions:
    """Options that attributes of an interface set.

    Args:
        attributes: of the interface, also others.
        where: the interface, for errors.

    Raises:
        InvalidRequest: a value is invalid.
    """
    allowed, security = attributes.get("allowed-addresses"), attributes.get("port-security", "on")
    if security not in ("on", "off"):
        raise InvalidRequest(f"{where}: port-security='{security}': expected on or off")
    rates = _limits(attributes, where)
    words = [] if allowed is None else allowed.split() or [allowed]
    found = options.requested(
        f"{where}: allowed-addresses='{(allowed or '')[:200]}'", words, security=security == "on", limits=rates
    )
    virtual = attributes.get("virtual-address")
    if virtual is None:
        return found
    addresses = options.virtual_addresses(f"{where}: virtual-address='{virtual[:200]}'", virtual.split() or [virtual])
    return replace(found, virtual=addresses)


def _limits(attributes: Mapping[str, str], where: str) -> Limits:
    rates = [attributes.get(name) for name in ("limit-inbound", "limit-outbound")]
    if "" in rates:
        raise InvalidRequest(f"{where}: empty rate limit", "expected bits per second, like 100M")
    inbound, outbound = (rate or "" for rate in rates)
    return limits.requested(where, inbound, outbound, accept_none=True)


def beside_bandwidth(requested: PortOptions, where: str) -> PortOptions:
    """Options of an interface whose bandwidth libvirt limits: not the limits of its subnet, too.

    Args:
        requested: by the metadata.
        where: the interface, for errors.

    Raises:
        InvalidRequest: the metadata limits it, too.
    """
    if set(requested.limits.by_direction.values()) - {"", limits.NONE}:
        raise InvalidRequest(
            f"{where}: {requested.limits} of the metadata and <bandwidth> are mutually exclusive",
            "remove <bandwidth> from the interface, or the limits from the metadata",
        )
    return replace(requested, limits=Limits(limits.NONE, limits.NONE))


def security_groups(value: str | None, where: str) -> tuple[str, ...] | None:
    """Sorted names of security groups, or None if the attribute is missing.

    Args:
        value: of the attribute.
        where: the interface, for errors.

    Raises:
        InvalidRequest: a name is invalid, or there are too many.
    """
    if value is None:
        return None
    try:
        return group_names(value.split())
    except InvalidRequest as error:
        raise error.within(f"{where}: security-groups='{value[:200]}'") from error
