"""IP forwarding of this host (ip-sysctl in the kernel's documentation), as narrow as the kernel allows.

IPv4: an interface forwards what it receives if its ``forwarding`` is set: that of the link and those of the uplinks.
IPv6: the kernel forwards on all interfaces or on none. An interface's own ``forwarding`` then only makes it a router's,
which ignores router advertisements: the host would lose its default route. So these stay as they were.

Settings that were 0 are recorded in `RECORD`, a path below /proc/sys in each line. Like them it does not survive a
reboot. The packet filter drops whatever would not be forwarded without them (ovnhook.hostnetwork.gatewayfilter).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ovnhook.resources.router.hostlink import BRIDGE

RECORD = Path("/run/ovnhook/forwarding")

_SETTINGS = Path("/proc/sys")
_IPV4, _IPV6 = "net/ipv4/conf", "net/ipv6/conf"
_ALL_IPV6 = f"{_IPV6}/all/forwarding"
_LINK = f"{_IPV4}/{BRIDGE}/forwarding"


class ForwardingSettings:
    """The host's settings, and the record of those that are enabled only because of guests.

    Args:
        folder: folder of the settings.
        record: file of the record.
    """

    def __init__(self, folder: Path = _SETTINGS, record: Path = RECORD) -> None:
        self._folder = folder
        self._record = record

    def needed(self, uplinks: Iterable[str], *, ipv6: bool) -> frozenset[str]:
        """Settings that have to be enabled, or are, only because of guests.

        Not those that somebody else has enabled for all interfaces. The kernel then sets them all, and the default.

        Args:
            uplinks: interfaces of IPv4 default routes.
            ipv6: guests use IPv6.
        """
        recorded = self._recorded()
        wanted = {_setting(one) for one in uplinks} | ({_ALL_IPV6} if ipv6 else set())
        ours = {key for key in wanted if key in recorded or self._read(key) == "0" or self._is_own_ipv6(key)}
        return frozenset(key for key in ours if not self._is_anothers(key))

    def apply(self, needed: frozenset[str]) -> None:
        """Enable forwarding for the link and these settings, and disable those that are no longer needed. Idempotent.

        Args:
            needed: see `needed`; the packet filter has been loaded for them.
        """
        recorded = self._recorded()
        for key in sorted(recorded - needed):
            if not self._is_anothers(key):
                self._write(key, "0")
        self._save(needed | recorded)  # before the settings, so that none is left behind
        for key in (_LINK, *sorted(needed)):
            if self._read(key) == "0":
                self._forward_ipv6() if key == _ALL_IPV6 else self._write(key, "1")
        self._save(needed)
        # A router answers ARP requests only if the sender's address is in the network of the link.
        announce = f"{_IPV4}/{BRIDGE}/arp_announce"
        if self._read(announce) == "0":
            self._write(announce, "1")

    @property
    def has_ipv6(self) -> bool:
        """Test whether the link can have IPv6 addresses."""
        return self._read(f"{_IPV6}/{BRIDGE}/disable_ipv6") == "0"

    @property
    def forwards_ipv6(self) -> bool:
        """Test whether IPv6 is forwarded because of guests."""
        return _ALL_IPV6 in self._recorded()

    def _is_own_ipv6(self, key: str) -> bool:
        """Test for IPv6 forwarding as only `_forward_ipv6` enables it."""
        return key == _ALL_IPV6 and self._read(key) == "1" and not self._is_anothers(key)

    def _is_anothers(self, key: str) -> bool:
        """Test whether somebody else has enabled forwarding for all interfaces."""
        sign = f"{_IPV6}/default/forwarding" if key == _ALL_IPV6 else f"{_IPV4}/all/forwarding"
        return self._read(sign) == "1"

    def _forward_ipv6(self) -> None:
        """Forward IPv6, while interfaces keep their own setting, and default routes of router advertisements."""
        interfaces = sorted(one.name for one in (self._folder / _IPV6).iterdir() if one.name != "all")
        hosts = [one for one in interfaces if self._read(f"{_IPV6}/{one}/forwarding") == "0"]
        receivers = [one for one in hosts if self._read(f"{_IPV6}/{one}/accept_ra") == "1"]
        for one in receivers:  # 2: also if it forwards; the kernel keeps those routes
            self._write(f"{_IPV6}/{one}/accept_ra", "2")
        self._write(_ALL_IPV6, "1")
        for one in hosts:
            if one != BRIDGE:
                self._write(f"{_IPV6}/{one}/forwarding", "0")
        for one in receivers:
            self._write(f"{_IPV6}/{one}/accept_ra", "1")

    def _recorded(self) -> frozenset[str]:
        try:
            return frozenset(self._record.read_text(encoding="utf-8").split())
        except FileNotFoundError:
            return frozenset()

    def _save(self, keys: frozenset[str]) -> None:
        if keys != self._recorded():
            self._record.parent.mkdir(parents=True, exist_ok=True)
            new = self._record.with_suffix(".new")
            new.write_text("".join(f"{key}\n" for key in sorted(keys)), encoding="utf-8")
            new.replace(self._record)

    def _read(self, key: str) -> str:
        """A setting, or "" if the interface or the protocol is not there."""
        try:
            return (self._folder / key).read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return ""

    def _write(self, key: str, value: str) -> None:
        if (self._folder / key).exists():  # else the interface is gone
            (self._folder / key).write_text(value, encoding="utf-8")


def interfaces(settings: Iterable[str]) -> tuple[str, ...]:
    """Interfaces of IPv4 settings, which forward only because of guests."""
    return tuple(sorted(key.split("/")[3] for key in settings if key != _ALL_IPV6))


def has_ipv6(settings: Iterable[str]) -> bool:
    """Test whether IPv6 is forwarded only because of guests."""
    return _ALL_IPV6 in settings


def _setting(interface: str) -> str:
    return f"{_IPV4}/{interface}/forwarding"
