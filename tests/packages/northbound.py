"""Ways to the northbound database that root has on a machine: all sockets, and all keys and certificates."""

from __future__ import annotations

import json
from collections.abc import Sequence

from tests.packages.machine import Machine

PORTS = (6641, 6642, 6643, 6644, 16642)
"""Ports of OVN's databases on a control host."""

_SCRIPT = """
import itertools, json, os, stat, subprocess, sys, tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

NOT_OURS = ("/etc/ssl/certs", "/usr", "/proc", "/sys", "/dev")
sockets, keys, certificates = [], [], []
for folder, folders, names in os.walk("/"):
    folders[:] = [one for one in folders if os.path.join(folder, one) not in NOT_OURS]
    for path in (Path(folder, name) for name in names):
        try:
            mode = path.lstat().st_mode
            if stat.S_ISSOCK(mode):
                sockets.append(path)
            elif stat.S_ISREG(mode) and path.stat().st_size < 1_000_000:
                text = path.read_bytes()
                keys += [path] if b"PRIVATE KEY-----" in text else []
                certificates += [path] if b"BEGIN CERTIFICATE-----" in text else []
        except OSError:
            continue
ways = [(f"unix:{path}",) for path in sockets]
for port, address in itertools.product(json.loads(sys.argv[1]), json.loads(sys.argv[2])):
    ways.append((f"tcp:{address}:{port}",))
    for key, certificate, ca in itertools.product(keys, certificates, [None, *certificates]):
        trust = f"--ca-cert={ca}" if ca else f"--bootstrap-ca-cert={tempfile.mktemp()}"
        ways.append((f"ssl:{address}:{port}", f"--private-key={key}", f"--certificate={certificate}", trust))

def opens(way):
    # ovn-nbctl tries again until its timeout where this one gives up.
    server, options = way[0], ["--no-leader-only", *way[1:]]
    once = ["ovsdb-client", "--timeout=10", *options, "get-schema-version", server, "OVN_Northbound"]
    show = ["ovn-nbctl", "--timeout=60", *options, f"--db={server}", "show"]
    return all(subprocess.run(one, capture_output=True).returncode == 0 for one in (once, show))

with ThreadPoolExecutor(16) as pool:
    found = {way[0] for way, is_open in zip(ways, pool.map(opens, ways)) if is_open}
print(json.dumps([len(keys), len(certificates), len(sockets), sorted(found)]))
"""


def ways(machine: Machine, addresses: Sequence[str]) -> set[str]:
    """Connection methods by which ``ovn-nbctl show`` works on a machine, with whatever files it has.

    Args:
        machine: the machine.
        addresses: of all control hosts.
    """
    machine.path("/root/ways.py").write_text(_SCRIPT)
    said = machine.run(f"python3 /root/ways.py '{json.dumps(PORTS)}' '{json.dumps([*addresses])}' 2>&1 | tail -1")
    keys, certificates, sockets, found = json.loads(said)
    assert keys
    assert certificates
    assert sockets
    return set(found)
