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
    """The host names that a domain may have without asking for one, the preferred one first.

    The name of the domain made into a DNS label (RFC 1123, section 2.1): its first label where the rest is the subnet's
    DNS domain. The others have a part of the UUID at the end, and are for when another domain has that one.

    Args:
        domain: name of the domain.
        uuid: its UUID.
        dns_domain: the subnet's, or "".
    """
    first, _, rest = domain.lower().partition(".")
    stem = first if dns_domain and rest == dns_domain.lower() else domain.lower()
    label = re.sub(r"[^a-z0-9]+", "-", stem).strip("-")[:_LABEL].strip("-") or f"vm-{uuid.hex[:8]}"
    return (label, *(f"{label[: _LABEL - 1 - size].rstrip('-')}-{uuid.hex[:size]}" for size in (4, 8, 32)))


def is_default_hostname(hostname: str, domain: str, uuid: UUID) -> bool:
    """Whether a domain may have a host name without asking for it, whatever the subnet's DNS domain is."""
    return any(hostname in default_hostnames(domain, uuid, rest) for rest in ("", domain.partition(".")[2]))


def records(leases: Iterable[Lease], domain: str) -> dict[str, str]:
    """The records of some leases of one subnet: ``HOST`` and ``HOST.DOMAIN`` to addresses, and addresses back to names.

    Args:
        leases: all of each host's: interfaces of one domain may share a name, which then has several addresses.
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
    """The addresses that a record leads to, or back from, as `records` writes them.

    Nothing is checked, for a subnet can have very many: of a record that is none of ours no place is any lease's.
    """
    match record.split("."):
        case [*octets, "in-addr", "arpa"]:
            return (".".join(reversed(octets)),)
        case [*nibbles, "ip6", "arpa"]:
            try:
                return (str(IPAddress(int("".join(reversed(nibbles)), 16), 6)),)
            except (AddrFormatError, ValueError):
                return ()
        case _:
            return tuple(value.split())
