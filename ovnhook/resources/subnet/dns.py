"""Host names of a subnet's guests, and their records in OVN's DNS (ovn-nb(5), table DNS). Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from uuid import UUID

from netaddr import AddrFormatError, IPAddress

from ovnhook.resources.lease.values import Lease

_LABEL = 63  # characters of a DNS label (RFC 1035, section 2.3.4)


def default_hostnames(domain: str, uuid: UUID, dns_domain: str) -> tuple[str, ...]:
    """Default host names of a domain, the preferred one first.

    The first one is the domain's name as a DNS label (RFC 1123, section 2.1), without the subnet's DNS domain. The
    others have a part of the UUID as suffix, for use if another domain has the name.

    Args:
        domain: name of the domain.
        uuid: UUID of the domain.
        dns_domain: of the subnet, or "".
    """
    first, _, rest = domain.lower().partition(".")
    stem = first if dns_domain and rest == dns_domain.lower() else domain.lower()
    label = re.sub(r"[^a-z0-9]+", "-", stem).strip("-")[:_LABEL].strip("-") or f"vm-{uuid.hex[:8]}"
    return (label, *(f"{label[: _LABEL - 1 - size].rstrip('-')}-{uuid.hex[:size]}" for size in (4, 8, 32)))


def is_default_hostname(hostname: str, domain: str, uuid: UUID) -> bool:
    """Check for a default host name of a domain, with any DNS domain of the subnet."""
    return any(hostname in default_hostnames(domain, uuid, rest) for rest in ("", domain.partition(".")[2]))


def records(leases: Iterable[Lease], domain: str) -> dict[str, str]:
    """DNS records of leases of one subnet: ``HOST`` and ``HOST.DOMAIN`` to addresses, and reverse records.

    Args:
        leases: all leases of each host name; interfaces of one domain may share it.
        domain: the subnet's DNS domain, or "".
    """
    hosts: dict[str, list[IPAddress]] = defaultdict(list)
    for lease in leases:
        hosts[lease.hostname].append(lease.address)
    found: dict[str, str] = {}
    for host, addresses in hosts.items():
        name = f"{host}.{domain}" if domain else host
        known = " ".join(map(str, sorted(addresses)))
        found |= {host: known, name: known}
        found |= {address.reverse_dns.rstrip("."): name for address in addresses}
    return found


def addresses_of(record: str, value: str) -> tuple[str, ...]:
    """The addresses of a forward or reverse record, in the format of `records`.

    They are not validated, since a subnet can have many records: no lease has an invalid address.
    """
    if record.endswith(".in-addr.arpa"):
        return (".".join(reversed(record.split(".")[:-2])),)
    if record.endswith(".ip6.arpa"):
        try:
            return (str(IPAddress(int("".join(reversed(record.split(".")[:-2])), 16), 6)),)
        except (AddrFormatError, ValueError):
            return ()
    return tuple(value.split())
