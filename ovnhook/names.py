"""What guests of a subnet are called, as records of OVN's DNS (ovn-nb(5), table DNS). Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from netaddr import AddrFormatError, IPAddress

from ovnhook.model import Lease


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


def places(record: str, value: str) -> tuple[str, ...]:
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
