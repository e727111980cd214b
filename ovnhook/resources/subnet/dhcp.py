"""DHCP settings of a subnet as immutable values, beside those that are settings of the subnet itself."""

from __future__ import annotations

from dataclasses import dataclass

from netaddr import IPAddress, IPNetwork

DHCP_LEASE_TIME = 3600
"""Seconds, by default. Guests renew after half of it, and get changed settings then; after all of it, all have them."""


@dataclass(frozen=True)
class Route:
    """A static route of guests (RFC 3442).

    Attributes:
        destination: IPv4 network.
        router: address in the subnet.
    """

    destination: IPNetwork
    router: IPAddress

    def __str__(self) -> str:
        """The syntax of the command: ``10.9.0.0/24=10.1.0.9``."""
        return f"{self.destination}={self.router}"


@dataclass(frozen=True)
class DhcpSettings:
    """DHCP settings of a subnet.

    Attributes:
        extra_dhcp_options: further options by name, as in ovnhook.resources.subnet.dhcpoptions; sorted.
        search: search domains; empty: the DNS domain is one.
        routes: static routes.
        lease_time: in seconds.
        boot_server: TFTP server for PXE, or None.
        boot_file: path on it, or "".
        ipxe: URL that iPXE boots instead of the boot file, or "".
    """

    extra_dhcp_options: tuple[tuple[str, str], ...] = ()
    search: tuple[str, ...] = ()
    routes: tuple[Route, ...] = ()
    lease_time: int = DHCP_LEASE_TIME
    boot_server: IPAddress | None = None
    boot_file: str = ""
    ipxe: str = ""

    @property
    def assignments(self) -> tuple[str, ...]:
        """The further options in the syntax of the command: ``NAME=VALUE``."""
        return tuple(f"{name}={value}" for name, value in self.extra_dhcp_options)


DEFAULT_SETTINGS = DhcpSettings()
"""Settings of a subnet that has none."""
