"""Attributes of the metadata that set options and security groups of an interface's port. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from ovnhook.base.errors import InvalidRequest
from ovnhook.resources.port import options
from ovnhook.resources.port.options import PortOptions
from ovnhook.resources.security_group.values import group_names

ATTRIBUTES = ("allowed-addresses", "port-security", "security-groups")


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
    if allowed is None:
        return PortOptions(security=security == "on")
    words = allowed.split() or [allowed]
    return options.requested(f"{where}: allowed-addresses='{allowed[:200]}'", words, security=security == "on")


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
