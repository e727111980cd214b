"""A logical switch port created with ovn-nbctl, with the features of ovnhook's."""

from __future__ import annotations

from lab import LabHost
from ovnhook.base import uuids


def add(control: LabHost, port: str, mac: str, address: str, host: str, name: str, subnet: str = "default") -> None:
    """Create a port on a subnet: addresses, port security, DHCP, chassis, DNS records."""
    both, dhcp = f"{mac} {address}", str(uuids.dhcp_options(subnet))
    back = ".".join(reversed(address.split("."))) + ".in-addr.arpa"
    control.run(
        [
            *("ovn-nbctl", "lsp-add", subnet, port, "--", "lsp-set-addresses", port, both),
            *("--", "lsp-set-port-security", port, both, "--", "lsp-set-dhcpv4-options", port, dhcp),
            *("--", "lsp-set-options", port, f"requested-chassis={host}"),
            *("--", "set", "DNS", str(uuids.dns_records(subnet)), f'records:"{name}"="{address}"'),
            *("--", "set", "DNS", str(uuids.dns_records(subnet)), f'records:"{back}"="{name}"'),
        ]
    )


def remove(control: LabHost, port: str, address: str, name: str, subnet: str = "default") -> None:
    """Delete it."""
    back = ".".join(reversed(address.split("."))) + ".in-addr.arpa"
    names = ("--", "remove", "DNS", str(uuids.dns_records(subnet)), "records")
    control.run(["ovn-nbctl", "lsp-del", port, *names, f'"{name}"', *names, f'"{back}"'])
