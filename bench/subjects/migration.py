"""Pings lost during migrations: with ovnhook, and with a manually created port."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from bench.load import guests
from bench.report.measurement import Measurement, Target, measured
from lab import LabCloud
from lab.domain import interface_xml
from lab.pings import RATE, Pings

MIGRATIONS = 20
_PORT = "0b5c6a0e-4a5c-4d5e-9d7b-1f0f1c2d3e4f"
_MAC = "52:54:00:be:0c:01"


def measure() -> Iterator[Measurement]:
    """Migrate a guest back and forth, with ovnhook and without."""
    for way, make, limits in (
        ("", guests.cloud, (Target("≤", 0.3 * RATE, ""), Target("=", 0, ""))),
        (", port by hand", _by_hand, (None, None)),
    ):
        with make() as cloud:
            found = list(_migrate(cloud))
        lost, doubled = zip(*found, strict=True)
        yield measured("migration", f"pings lost in a migration, {RATE} a second{way}", lost)
        most, twice = f"the most of {len(found)} migrations{way}", f"answered twice, in all of them{way}"
        yield measured("migration", most, [max(lost)], target=limits[0], runs=len(found))
        yield measured("migration", twice, [sum(doubled)], target=limits[1], runs=len(found))


@contextmanager
def _by_hand() -> Iterator[LabCloud]:
    """A lab without ovnhook, with ports that are created before the guests start."""
    with LabCloud(f"b{os.getpid()}", hook=False) as cloud:
        nbctl = ["ovn-nbctl", "ls-add", "default"]
        for number, (name, mac) in enumerate(((_PORT, _MAC), (_PORT[:-1] + "e", _MAC[:-1] + "2")), start=20):
            nbctl += ["--", "lsp-add", "default", name, "--", "lsp-set-addresses", name, f"{mac} 10.10.0.{number}"]
        options = ["server_id=10.10.0.1", "server_mac=0a:00:00:00:00:01", "lease_time=3600"]
        cloud.control.run(nbctl)
        made = cloud.control.run(["ovn-nbctl", "create", "DHCP_Options", "cidr=10.10.0.0/24"]).stdout.strip()
        cloud.control.run(["ovn-nbctl", "dhcp-options-set-options", made, *options])
        for name in (_PORT, _PORT[:-1] + "e"):
            cloud.control.run(["ovn-nbctl", "lsp-set-dhcpv4-options", name, made])
        yield cloud


def _migrate(cloud: LabCloud) -> Iterator[tuple[int, int]]:
    """Pings lost and duplicated in each migration."""
    moves = guests.boot(cloud, "hv1", "moves", interface_xml(_MAC, interface_id=_PORT))
    watches = guests.boot(cloud, "hv2", "watches", interface_xml(_MAC[:-1] + "2", interface_id=_PORT[:-1] + "e"))
    pings = Pings(watches, moves.wait_address())
    for number in range(MIGRATIONS):
        source, target = ("hv1", "hv2") if number % 2 == 0 else ("hv2", "hv1")
        cloud.host(source).run(cloud.migrate_argv("moves", target), timeout=guests.TIMEOUT)
        yield pings.settle(2)
