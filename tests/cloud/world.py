"""The cloud as the tests see it: virsh starts domains, and OVN's own tools read what there is."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from lab import Guest, LabCloud, LabHost
from lab.domain import domain_xml
from lab.waiting import HANG, until
from ovnhook.hostnetwork.namescope import PORT_PREFIX

Row = dict[str, Any]

TABLES = ("Logical_Switch", "Logical_Switch_Port", "DHCP_Options", "DNS", "Logical_Router", "NAT", "Address_Set")
_VOLATILE = {"_version", "up"}
SUBNET_NETWORK = """<ovn:subnet xmlns:ovn="urn:ovnhook:network:1" name="{0}"/>"""
"""What stands in a network that the agent maintains."""


CONFIG = "/etc/ovnhook/ovnhook.toml"
LONG_DEADLINE = 60.0
"""The longest deadline: how long a hook takes on a busy machine decides no test."""


class World:
    """A cloud and short words for what tests do with it."""

    def __init__(self, cloud: LabCloud) -> None:
        self.cloud = cloud
        self.hv1, self.hv2 = cloud.hypervisors[:2]
        self.control = cloud.control

    # -- doing

    def set_long_deadline(self) -> None:
        """Give hooks and agents of hypervisors the longest deadline."""
        for host in self.cloud.hypervisors:
            host.write(CONFIG, f"{host.read(CONFIG)}deadline = {LONG_DEADLINE}\n")
            host.daemon("agent").restart()

    def ovnhook(self, *arguments: str) -> str:
        """What the command prints."""
        return self.control.run(["ovnhook", *arguments]).stdout

    def define(
        self, host: LabHost, name: str, *interfaces: str, metadata: str = "", dhcp: str = "retry", **more: Any
    ) -> None:
        """Define a domain; `metadata` is what stands in our element of it."""
        if metadata and "<ovn:domain" not in metadata:
            metadata = f"<ovn:domain xmlns:ovn='urn:ovnhook:domain:1'>{metadata}</ovn:domain>"
        xml = domain_xml(name, interfaces, metadata=metadata, dhcp=dhcp, **more)
        host.run(["virsh", "define", "/dev/stdin"], input=xml)

    def start(self, host: LabHost, name: str, timeout: float = HANG) -> Guest:
        """Start a domain that is defined."""
        host.run(["virsh", "start", name], timeout=timeout)
        return Guest(host, name)

    def boot(self, host: LabHost, name: str, *interfaces: str, **more: Any) -> Guest:
        """Define and start a domain."""
        self.define(host, name, *interfaces, **more)
        return self.start(host, name)

    def refused(self, host: LabHost, name: str) -> str:
        """The one line of ours with which a start fails."""
        done = host.run(["virsh", "start", name], check=False)
        assert done.returncode != 0, f"{name} started"
        lines = [line for line in done.stderr.splitlines() if "ovnhook:" in line]
        assert len(lines) == 1, done.stderr
        return lines[0]

    def destroy(self, host: LabHost, name: str) -> None:
        """Take a domain's power away."""
        host.run(["virsh", "destroy", name])

    def make_whole(self) -> None:
        """Every daemon runs again, whatever the test did to it."""
        for host in self.cloud.hosts.values():
            for daemon in host.daemons.values():
                if daemon.state == "paused":
                    daemon.resume()
                daemon.start()

    def remove_domains(self) -> None:
        """No domain is left on any hypervisor."""
        for host in self.cloud.hypervisors:
            for name in host.run(["virsh", "list", "--name"]).stdout.split():
                host.run(["virsh", "destroy", name], check=False)
            for name in host.run(["virsh", "list", "--all", "--name"]).stdout.split():
                host.run(["virsh", "undefine", name, "--managed-save"])
            for file in host.outside_path("/etc/libvirt/qemu/networks").glob("*.xml"):
                with suppress(FileNotFoundError):  # the agent may remove that of a subnet meanwhile
                    if SUBNET_NETWORK.format(file.stem) not in file.read_text():
                        host.run(["virsh", "net-destroy", file.stem], check=False)
                        host.run(["virsh", "net-undefine", file.stem])

    def make_foreign_rows(self) -> None:
        """What another tool, or a person, keeps in the same database."""
        self.control.run(
            [
                *("ovn-nbctl", "ls-add", "foreign", "--", "lsp-add", "foreign", "foreign-port"),
                *("--", "lsp-set-addresses", "foreign-port", "0a:00:00:00:00:01 192.0.2.1"),
                *("--", "set", "Logical_Switch_Port", "foreign-port", "external_ids:owner=somebody"),
                *(
                    "--",
                    "lr-add",
                    "foreign-router",
                    "--",
                    "lr-nat-add",
                    "foreign-router",
                    "snat",
                    "192.0.2.9",
                    "10.99.0.0/24",
                ),
                *("--", "create", "DHCP_Options", "cidr=192.0.2.0/24"),
                *("--", "create", "DNS", "records:somebody=192.0.2.1", "external_ids:ls=foreign"),
                *("--", "create", "Address_Set", "name=foreign_set", "addresses=192.0.2.1"),
            ]
        )

    # -- looking

    def rows(self, *tables: str) -> dict[str, Row]:
        """All rows of some tables of the northbound database, by table and UUID, without what OVN itself changes."""
        return self._rows(self.control, "unix:/run/ovn/ovnnb_db.sock", "OVN_Northbound", *(tables or TABLES))

    def vswitch(self, host: LabHost) -> dict[str, Row]:
        """The ports and bridges of a host, without what ovn-controller notes down on its bridge for itself.

        Ports of DNS servers come and go a moment after those of guests.
        """
        found = self._rows(host, "unix:/run/openvswitch/db.sock", "Open_vSwitch", "Bridge", "Port", "Interface")
        servers = {key for key, row in found.items() if row["name"].startswith(PORT_PREFIX)}
        for key in servers:
            del found[key]
        for key, row in found.items():
            if key.startswith("Bridge"):
                row["ports"][1][:] = [port for port in row["ports"][1] if f"Port {port[1]}" not in servers]
        kept = {"name", "ports", "interfaces", "external_ids", "other_config"}
        for row in found.values():
            ids = row.get("external_ids", ["map", []])[1]
            ids[:] = [pair for pair in ids if not pair[0].startswith("ct-zone-")]
        return {key: {column: row[column] for column in kept & row.keys()} for key, row in found.items()}

    def foreign_rows(self) -> dict[str, Row]:
        """Every row that is not ours."""
        return {key: row for key, row in self.rows().items() if "ovnhook:kind" not in dict(row["external_ids"][1])}

    def ports(self, domain: str = "") -> list[Row]:
        """The logical switch ports of a domain, or of all domains."""
        return self._ours("Logical_Switch_Port", "port", domain)

    def leases(self, domain: str = "") -> dict[str, str]:
        """The leased addresses of a domain, or of all, by MAC."""
        return {
            row["external_ids"]["ovnhook:mac"]: address
            for row in self._ours("DNS", "lease", domain)
            for _, address in row["records"][1]
        }

    def taps(self, host: LabHost) -> dict[str, dict[str, str]]:
        """The external_ids of the interfaces on a host that have an iface-id, by MAC."""
        rows = [row for key, row in self.vswitch(host).items() if key.startswith("Interface")]
        ids = [dict(row["external_ids"][1]) for row in rows]
        return {row["attached-mac"]: row for row in ids if "iface-id" in row}

    def left_over(self) -> list[Any]:
        """What is there though no domain is: ports, leases, what domains hold, taps."""
        lease_indexes = self._ours("DNS", "domain", "")
        return [*self.ports(), *self.leases(), *lease_indexes, *self.taps(self.hv1), *self.taps(self.hv2)]

    def state(self) -> tuple[dict[str, Row], ...]:
        """All that a start which fails must leave as it was."""
        return (self.rows(), self.vswitch(self.hv1), self.vswitch(self.hv2))

    def mac(self, host: LabHost, name: str, index: int = 0) -> str:
        """The MAC of an interface of a domain that is defined."""
        lines = host.run(["virsh", "domiflist", name]).stdout.splitlines()[2:]
        return lines[index].split()[-1]

    def domain_state(self, host: LabHost, name: str) -> str:
        """What virsh says of a domain."""
        return host.run(["virsh", "domstate", name]).stdout.strip()

    def stuck_guests(self) -> list[str]:
        """The guests whose kernels QEMU has broken."""
        return [repr(guest) for host in self.cloud.hosts.values() for guest in Guest.all(host) if guest.is_stuck]

    def wait_for(
        self, condition: Callable[[], object], what: str, show: Callable[[], object] = lambda: "", timeout: float = HANG
    ) -> None:
        """Wait until something is true."""
        until(condition, timeout, what, lambda: str(show()))

    @staticmethod
    def _rows(host: LabHost, remote: str, database: str, *tables: str) -> dict[str, Row]:
        select = [{"op": "select", "table": table, "where": []} for table in tables]
        done = host.run(["ovsdb-client", "transact", remote, json.dumps([database, *select])])
        return {
            f"{table} {row['_uuid'][1]}": {column: row[column] for column in sorted(row.keys() - _VOLATILE)}
            for table, result in zip(tables, json.loads(done.stdout), strict=True)
            for row in result["rows"]
        }

    def _ours(self, table: str, kind: str, domain: str) -> list[Row]:
        found = []
        for row in self.rows(table).values():
            ids = dict(row["external_ids"][1])
            if ids.get("ovnhook:kind") == kind and domain in ("", ids["ovnhook:domain-name"]):
                found.append({**row, "external_ids": ids})
        return found
