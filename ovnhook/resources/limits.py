"""Rate limits in bits per second, in the syntax of users, and as OVN's meters have them. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ovnhook.base.errors import InvalidRequest

NONE = "none"
"""A request for no limit where the subnet has one."""

MATCHES = {"inbound": ("to-lport", "outport"), "outbound": ("from-lport", "inport")}
"""Direction of a QoS row, and the field that has the port in its match (ovn-nb(5)), by direction of a limit."""

_RATE = re.compile("([1-9][0-9]{0,12})([kKMG]?)")
_UNITS = {"G": 10**9, "M": 10**6, "k": 10**3}
_SMALLEST, _LARGEST = 100 * 10**3, 1000 * 10**9  # bit/s
_SMALLEST_BURST = 600  # kbit: a packet of 64 KiB, as guests' cards with segmentation offload send it


@dataclass(frozen=True)
class Limits:
    """Rates of both directions, seen from the guest or the cloud: ``100M``; "" for no limit.

    Attributes:
        inbound: of what it receives.
        outbound: of what it sends.
    """

    inbound: str = ""
    outbound: str = ""

    def __str__(self) -> str:
        """The attributes of the metadata."""
        return " ".join(f'limit-{way}="{rate}"' for way, rate in self.by_direction.items() if rate)

    @property
    def by_direction(self) -> dict[str, str]:
        """The rates by direction."""
        return {"inbound": self.inbound, "outbound": self.outbound}

    def over(self, default: Limits) -> Limits:
        """The limits of an interface that requests these, with the default of its subnet."""
        inbound, outbound = self.inbound or default.inbound, self.outbound or default.outbound
        return Limits("" if inbound == NONE else inbound, "" if outbound == NONE else outbound)


NO_LIMITS = Limits()
"""No limit, or no request."""


def requested(where: str, inbound: str, outbound: str, *, accept_none: bool = False) -> Limits:
    """Limits as requested.

    Args:
        where: domain and interface, subnet or router, for errors.
        inbound: rate, or "".
        outbound: rate, or "".
        accept_none: whether a rate may be NONE.

    Raises:
        InvalidRequest: a rate is invalid.
    """
    rates = {"limit-inbound": inbound, "limit-outbound": outbound}
    return Limits(*(_canonical(where, name, rate, accept_none=accept_none) for name, rate in rates.items()))


def _canonical(where: str, name: str, text: str, *, accept_none: bool) -> str:
    """A rate with the largest unit of which it is a multiple."""
    if not text or (accept_none and text == NONE):
        return text
    found = _RATE.fullmatch(text)
    rate = int(found[1]) * _UNITS.get(found[2].replace("K", "k"), 1) if found else 0
    if not _SMALLEST <= rate <= _LARGEST or rate % _UNITS["k"]:
        expected = "bits per second like 500k, 100M or 1G, from 100k to 1000G"
        raise InvalidRequest(
            f"{where}: {name}='{text[:40]}': expected {expected}" + (f", or {NONE}" if accept_none else "")
        )
    return next(f"{rate // unit}{letter}" for letter, unit in _UNITS.items() if not rate % unit)


def bandwidth(rate: str) -> dict[str, int]:
    """Rate and burst of a meter, in kbit/s and kbit (ovn-nb(5), QoS).

    A burst of 80 % of the rate is what TCP needs (ovs-vswitchd.conf.db(5), ingress_policing_burst).
    """
    kbit = int(rate[:-1]) * _UNITS[rate[-1]] // _UNITS["k"]
    return {"rate": kbit, "burst": max(kbit * 8 // 10, _SMALLEST_BURST)}
