"""Hypervisors with a northbound database and a control service each, and timed commands on them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from bench.load import stopwatch
from bench.load.population import soon
from lab import LabCloud, LabHost
from lab.central import install as install_central
from lab.domain import domain_xml, interface_xml
from lab.product import PYTHON, configure, install_service
from ovnhook.agent.host import Host as Product
from ovnhook.api.calls import Calls
from ovnhook.base.config import CONTROL_SOCKET, Config
from ovnhook.databases.northbound import Northbound
from ovnhook.domains.values import Domain
from ovnhook.ovsdb.operation import as_set, mutate, select
from ovnhook.resources.tables import PORT, SWITCH

HOOK = "/etc/libvirt/hooks/qemu.d/ovnhook"
NORTHBOUND = "/run/ovn/ovnnb_db.sock"
VSWITCH = "/run/openvswitch/db.sock"
_METADATA = "<ovn:domain xmlns:ovn='urn:ovnhook:domain:1'><ovn:interface security-groups='{}'/></ovn:domain>"


@dataclass(frozen=True)
class Finished:
    """Results of commands that were started in parallel.

    Attributes:
        seconds: until all had ended.
        codes: their exit codes.
        said: their output.
    """

    seconds: float
    codes: tuple[int, ...]
    said: tuple[str, ...]


class Site:
    """A hypervisor of the lab, with a northbound database and a control service at the default places.

    Args:
        host: the hypervisor.
        control: host of its control service, usually itself.
        watch: a process of bench/load/stopwatch.py on the hypervisor.
    """

    def __init__(self, host: LabHost, control: LabHost, watch: subprocess.Popen[bytes]) -> None:
        self.host = host
        self.remote = f"unix:{control.outside_path(NORTHBOUND)}"
        self.northbound = Northbound(self.remote)
        self._watch = watch
        vswitch = f"unix:{host.outside_path(VSWITCH)}"
        self.product = Product(Config(vswitch=vswitch), calls_of(control))

    def run(self, *commands: Sequence[str], given: str | Sequence[str] = "") -> Finished:
        """Run commands in parallel, with these standard inputs, and wait for all."""
        inputs = [given] * len(commands) if isinstance(given, str) else given
        asked = {"commands": [{"argv": list(argv), "input": one} for argv, one in zip(commands, inputs, strict=True)]}
        assert self._watch.stdin is not None
        assert self._watch.stdout is not None
        self._watch.stdin.write(json.dumps(asked).encode() + b"\n")
        self._watch.stdin.flush()
        found: Mapping[str, Any] = json.loads(self._watch.stdout.readline())
        return Finished(found["seconds"], tuple(found["codes"]), tuple(found["said"]))

    def hook(self, operation: str, xml: str, name: str = "vm") -> Finished:
        """Call the hook as libvirt does.

        Raises:
            RuntimeError: it failed, or had something to say.
        """
        done = self.run(hook_argv(operation, name), given=xml)
        if done.codes != (0,) or done.said != ("",):
            raise RuntimeError(f"{operation}: exit code {done.codes[0]}: {done.said[0]}")
        return done

    def forget(self, domain: UUID) -> None:
        """Remove a domain's ports and leases."""
        self.product.detach(Domain(domain, ""), soon())
        self.product.release_leases(domain, soon())

    def remove_port(self, name: str) -> None:
        """Remove an unmanaged port from the first subnet's switch."""
        (found,) = self.northbound.database.transact([select(PORT, ["name", "==", name], columns=["_uuid"])], soon())
        gone = as_set(row["_uuid"] for row in found)
        switch = ["name", "==", "net0"]
        self.northbound.database.transact([mutate(SWITCH, switch, [["ports", "delete", gone]])], soon())


def calls_of(control: LabHost) -> Calls:
    """Calls of a control host's service."""
    return Calls([str(control.outside_path(str(CONTROL_SOCKET)))], tuple, persistent=True)


def hook_argv(operation: str, name: str = "vm") -> list[str]:
    """The command line of the hook, as of libvirt."""
    return [HOOK, name, operation, "begin", "-"]


@dataclass(frozen=True)
class NewDomain:
    """A domain that starts.

    Attributes:
        uuid: its own.
        mac: of its interface.
        interface_id: of its interface.
        xml: as libvirt shows it to the hook before there is a tap.
    """

    uuid: UUID
    mac: str
    interface_id: str
    xml: str

    @classmethod
    def new(cls, *groups: str) -> NewDomain:
        """A new domain, whose metadata names security groups, if any."""
        uuid, interface_id = uuid4(), str(uuid4())
        mac = "52:54:00:" + ":".join(f"{octet:02x}" for octet in uuid.bytes[:3])
        interface = interface_xml(mac, interface_id=interface_id)
        metadata = _METADATA.format(" ".join(groups)) if groups else ""
        xml = domain_xml(f"vm-{uuid.hex[:8]}", [interface], identity=uuid, metadata=metadata)
        return cls(uuid, mac, interface_id, xml.replace("<domain type", "<domain id='7' type", 1))

    def plugged(self, device: str) -> str:
        """The XML with its tap."""
        return self.xml.replace("<model", f"<target dev='{device}'/><model", 1)

    def plug_argv(self, device: str) -> list[str]:
        """The command with which libvirt plugs the tap."""
        ids = {
            "attached-mac": self.mac,
            "iface-id": self.interface_id,
            "vm-id": str(self.uuid),
            "iface-status": "active",
        }
        values = [f'external_ids:{key}="{value}"' for key, value in ids.items()]
        return ["ovs-vsctl", "--no-wait", "add-port", "br-int", device, "--", "set", "Interface", device, *values]


@contextmanager
def sites(count: int, *, remote: bool = False) -> Iterator[list[Site]]:
    """A lab whose hypervisors are independent clouds of ovnhook, with agents.

    Args:
        count: number of hypervisors.
        remote: add one whose control service is on another host, by mutual TLS, as in every other lab.
    """
    with LabCloud(f"b{os.getpid()}", hypervisors=count + remote) as cloud, ExitStack() as stack:
        cloud.control.daemons["northd"].stop()
        found = []
        for number, host in enumerate(cloud.hypervisors):
            if number < count:
                _make_cloud(host)
            argv = [PYTHON, "-I", str(Path(stopwatch.__file__).resolve())]
            watch = host.popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            stack.callback(_end, watch)
            found.append(Site(host, host if number < count else cloud.control, watch))
        yield found


def _make_cloud(host: LabHost) -> None:
    """Give a hypervisor a northbound database and a control service of its own."""
    install_central(host, "127.0.0.1", northbound=False)
    (host.folder / "ovn").mkdir()
    host.run(["ovsdb-tool", "create", str(host.folder / "ovn" / "ovnnb_db.db"), "/usr/share/ovn/ovn-nb.ovsschema"])
    host.daemons["nb"].start()
    host.run(["ovn-nbctl", "--timeout=20", "init"])
    configure(host, {})
    install_service(host, "control", {})
    host.daemons["control"].start()
    host.daemons["agent"].restart()


def _end(watch: subprocess.Popen[bytes]) -> None:
    if watch.stdin is not None:
        watch.stdin.close()
    watch.wait(10)
