"""The lab's cloud: created, removed, and loaded by its prefix."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from lab import capabilities, central, certificates, chassis, hypervisor, product, state
from lab.errors import LabError
from lab.fabric import EXTERNAL, MANAGEMENT, NIC, UNDERLAY, Fabric, address, prefixed
from lab.guest import Guest
from lab.host import LabHost
from lab.namespaces import OWN
from lab.process import Process, end_all, inside

T = TypeVar("T")

CONTROL = "control"
OUTSIDE = "outside"
REPO = Path(__file__).resolve().parent.parent
OUTSIDE_INDEX = 254
API = 6645


@dataclass
class Plan:
    """Configuration of a lab, stored in its state folder for other processes."""

    trees: dict[str, str] = field(default_factory=dict)
    hypervisors: list[str] = field(default_factory=lambda: ["hv1", "hv2"])
    gateways: list[str] = field(default_factory=lambda: [CONTROL])
    controls: list[str] = field(default_factory=lambda: [CONTROL])
    python_path: list[str] = field(default_factory=list)
    encapsulation: str = "geneve"
    services: bool = True
    hook: bool = True
    environment: dict[str, str] = field(default_factory=dict)


class LabCloud:
    """A control host, hypervisors and an outside world: ``with LabCloud("mine") as cloud:`` is up inside."""

    def __init__(
        self,
        prefix: str = "ovnhook",
        *,
        hypervisors: int = 2,
        gateways: Sequence[str] = (CONTROL,),
        controls: Sequence[str] = (CONTROL,),
        trees: Mapping[str, Path] | None = None,
        python_path: Iterable[Path | str] = (),
        environment: Mapping[str, str] | None = None,
        encapsulation: str = "geneve",
        hook: bool = True,
    ) -> None:
        self.prefix = prefix
        self.folder = state.folder(prefix)
        self.plan = Plan(
            trees={name: str(tree.resolve()) for name, tree in (trees or {}).items()},
            hypervisors=[f"hv{number}" for number in range(1, hypervisors + 1)],
            gateways=list(gateways),
            controls=list(controls),
            python_path=[str(Path(path).resolve()) for path in python_path],
            encapsulation=encapsulation,
            hook=hook,
            environment=dict(environment or {}),
        )
        self.fabric = Fabric(prefix)
        self.hosts: dict[str, LabHost] = {}
        self._describe()

    @classmethod
    def load(cls, prefix: str = "ovnhook") -> LabCloud:
        """The lab that is up (or half up) under this prefix."""
        path = state.folder(prefix) / "cloud.json"
        if not path.exists():
            raise LabError(f"no lab {prefix!r} is up (up: {', '.join(state.prefixes()) or 'none'})")
        cloud = cls(prefix)
        cloud.plan = Plan(**json.loads(path.read_text(encoding="utf-8")))
        cloud._describe()
        return cloud

    def __enter__(self) -> LabCloud:
        try:
            self.up()
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    # -- hosts and guests

    @property
    def control(self) -> LabHost:
        """The host of the databases and the gateway."""
        return self.hosts[CONTROL]

    @property
    def outside(self) -> LabHost:
        """The external host: 203.0.113.254 on the external network."""
        return self.hosts[OUTSIDE]

    @property
    def hypervisors(self) -> list[LabHost]:
        """The hypervisors, in order."""
        return [self.hosts[name] for name in self.plan.hypervisors]

    @property
    def northbound(self) -> str:
        """Remote of the northbound database, for the other hosts."""
        return f"tcp:{address(MANAGEMENT, self.index(CONTROL))}:{central.NORTHBOUND}"

    @property
    def southbound(self) -> str:
        """Remote of the southbound database, for the other hosts."""
        return f"tcp:{address(MANAGEMENT, self.index(CONTROL))}:{central.SOUTHBOUND}"

    @property
    def authority(self) -> Path:
        """Folder of the certificate authority."""
        return self.folder / "ca"

    def host(self, name: str) -> LabHost:
        """A host by its name."""
        if name not in self.hosts:
            raise LabError(f"no host {name!r} in lab {self.prefix!r} (there are: {', '.join(self.hosts)})")
        return self.hosts[name]

    def index(self, name: str) -> int:
        """The number of a host, the last part of its addresses."""
        if name == CONTROL:
            return 1
        if name == OUTSIDE:
            return OUTSIDE_INDEX
        return 10 + int(name.removeprefix("hv"))

    def tree(self, name: str) -> Path:
        """The checkout that the product's code on a host is from."""
        return Path(self.plan.trees.get(name, REPO))

    def management_address(self, name: str) -> str:
        """A host's address on the management network."""
        return str(address(MANAGEMENT, self.index(name)))

    def api(self, name: str) -> str:
        """Address of a host's control service."""
        return f"{self.management_address(name)}:{API}"

    def tunnel_address(self, name: str) -> str:
        """A host's tunnel endpoint address."""
        return str(address(UNDERLAY, self.index(name)))

    def addresses(self, name: str) -> list[str]:
        """The addresses of a host on the networks of the fabric."""
        if name == OUTSIDE:
            return [self.outside_address]
        return [self.management_address(name), self.tunnel_address(name)]

    @property
    def outside_address(self) -> str:
        """The address of the external host."""
        return str(address(EXTERNAL, OUTSIDE_INDEX))

    def guest(self, name: str, host: str | None = None) -> Guest:
        """A guest by its domain's name, on the host where its console is."""
        if host is not None:
            return Guest(self.host(host), name)
        for found in self.guests():
            if found.name == name and found.running:
                return found
        raise LabError(f"no guest {name!r} runs in lab {self.prefix!r}")

    def guests(self) -> list[Guest]:
        """All guests that have a console, on all hypervisors."""
        return [guest for host in self.hypervisors for guest in Guest.all(host)]

    def libvirt_uri(self, name: str) -> str:
        """The URI of a hypervisor's libvirt, from any other host: for ``virsh migrate --desturi``."""
        return f"qemu+unix:///system?socket={hypervisor.socket(self.host(name))}"

    def migrate_argv(self, domain: str, target: str, *more: str) -> list[str]:
        """The command that migrates a running domain to another hypervisor; run it on the source."""
        folder = self.folder / "migrate"
        folder.mkdir(exist_ok=True)
        uri = f"unix://{folder}/{domain[:20]}-{time.monotonic_ns() % 10**9}.sock"
        command = ["virsh", "migrate", "--live", domain, "--desturi", self.libvirt_uri(target)]
        return [*command, "--migrateuri", uri, "--unsafe", *more]

    # -- up and down

    def up(self, services: bool = True) -> LabCloud:
        """Create and start everything; with ``services=False`` without agents and control service."""
        try:
            self.folder.mkdir(parents=True)
        except FileExistsError:
            raise LabError(
                f"lab {self.prefix!r} is up already, or was left half up: lab/lab --prefix {self.prefix} down"
            ) from None
        self.plan.services = services
        self._save()
        (self.folder / "ns").mkdir()
        state.make_private(self.folder / "ns")
        state.make_mount_points([*map(Path, OWN.values()), product.site_folder()])
        self._write_hosts()
        certificates.create_authority(self.authority)
        self.fabric.create()
        self._create(self.control)
        central.start(self.control)
        others = [host for name, host in self.hosts.items() if name != CONTROL]
        self._each(self._create, others)
        self._each(self._start, self.hosts.values())
        capabilities.share(self.hypervisors)
        self._meet(self.hypervisors)
        if services:
            self.start_services()
        return self

    def start_services(self, hosts: Iterable[LabHost] | None = None) -> None:
        """Start the control service and the agents, unless running."""
        self.plan.services = True
        self._save()
        for host in self.hosts.values() if hosts is None else hosts:
            for name in ("control", "agent"):
                if name in host.daemons:
                    host.daemons[name].start()

    def configure(self, host: LabHost, changes: Mapping[str, str | float] | None = None) -> None:
        """Write a host's ovnhook.toml, with other settings where ``changes`` has some."""
        settings: dict[str, str | float] = {}
        if host.name in self.plan.controls:
            settings |= {"listen": self.api(host.name), **certificates.CONTROL_SETTINGS}
            if host.name != CONTROL:
                settings |= {"northbound": self.northbound, "southbound": self.southbound}
        else:
            settings |= {"control": ",".join(map(self.api, self.plan.controls)), **certificates.NODE_SETTINGS}
            if host.name in self.plan.trees:  # earlier versions write to the database themselves
                settings |= {"northbound": self.northbound}
        product.configure(host, settings | dict(changes or {}))

    def add_hypervisor(self) -> LabHost:
        """Add a hypervisor."""
        numbers = [int(name.removeprefix("hv")) for name in self.plan.hypervisors]
        name = f"hv{max(numbers, default=0) + 1}"
        self.plan.hypervisors.append(name)
        self._save()
        self._describe()
        self._write_hosts()
        host = self.hosts[name]
        self._create(host)
        self._start(host)
        capabilities.share([host])
        self._meet([host])
        if self.plan.services:
            self.start_services([host])
        return host

    def down(self) -> None:
        """Remove everything, in whatever state it is. Idempotent."""
        if not self.folder.exists():
            return
        there = LabCloud.load(self.prefix) if self._saved.exists() else self
        hosts = list(there.hosts.values())
        places = [place for host in hosts for place in host.namespaces()] + self.fabric.namespaces()
        known = [daemon.process for host in hosts for daemon in host.daemons.values()]
        _end_everything(places, [process for process in known if process is not None])
        for host in hosts:
            host.destroy()
        self.fabric.destroy()
        state.unmount(self.folder / "ns")
        shutil.rmtree(self.folder)
        state.forget_mount_points()

    def logs(self, tail: int = 40, hosts: Iterable[LabHost] | None = None) -> str:
        """The last lines of all logs with warnings or errors, for a failed test."""
        parts = []
        for host in self.hosts.values() if hosts is None else hosts:
            for path in sorted([*host.logs.glob("*.log"), *Guest.logs(host)]):
                text = path.read_text(encoding="utf-8", errors="replace")
                lines = [line for line in text.splitlines() if line.strip() and "|INFO|" not in line]
                if lines:
                    parts.append(f"=== {host.name} {path.stem} ({path})")
                    parts += lines[-tail:]
        return "\n".join(parts)

    # -- the steps

    def _describe(self) -> None:
        for name in (CONTROL, *self.plan.hypervisors, OUTSIDE):
            if name in self.hosts:
                continue
            host = self.hosts[name] = LabHost(self.prefix, name)
            if name == OUTSIDE:
                continue
            if name == CONTROL:
                central.install(host, self.management_address(name), northbound=self._need_northbound)
            chassis.install(host)
            if name != CONTROL:
                hypervisor.install(host)
            if name in self.plan.controls:
                product.install_service(host, "control", self.plan.environment)
            product.install_service(host, "agent", self.plan.environment)

    @property
    def _need_northbound(self) -> bool:
        """Other hosts use the northbound database: control services, and agents of earlier versions."""
        return bool({*self.plan.controls, *self.plan.trees} - {CONTROL})

    @property
    def _saved(self) -> Path:
        return self.folder / "cloud.json"

    def _save(self) -> None:
        new = self._saved.with_suffix(".new")
        new.write_text(json.dumps(asdict(self.plan), indent=2), encoding="utf-8")
        new.replace(self._saved)

    def _write_hosts(self) -> None:
        lines = ["127.0.0.1 localhost", "::1 localhost"]
        lines += [f"{self.management_address(name)} {name}" for name in self.hosts if name != OUTSIDE]
        lines.append(f"{self.outside_address} {OUTSIDE}")
        (self.folder / "hosts").write_text("\n".join(lines) + "\n", encoding="utf-8")
        # A name server runs there if a test starts one.
        (self.folder / "resolv.conf").write_text(f"nameserver {self.management_address(CONTROL)}\n", encoding="utf-8")

    def _create(self, host: LabHost) -> None:
        python = host.folder / "python"
        product.make_python(python, self.tree(host.name), self.plan.python_path)
        host.create(self.folder, python, product.site_folder())
        index = self.index(host.name)
        if host.name == OUTSIDE:
            nic = self.fabric.link(host, EXTERNAL)
            host.run(["ip", "address", "add", prefixed(EXTERNAL, index), "dev", nic])
            return
        self.fabric.link(host, MANAGEMENT)
        host.run(["ip", "address", "add", prefixed(MANAGEMENT, index), "dev", NIC[MANAGEMENT]])
        self.fabric.link(host, UNDERLAY)
        if host.name in self.plan.gateways:
            self.fabric.link(host, EXTERNAL)
        product.install_command(host)

    def _start(self, host: LabHost) -> None:
        if host.name == OUTSIDE:
            return
        if host.name in self.plan.controls:
            certificates.issue_control(host, self.authority, self.management_address(host.name))
        else:
            certificates.issue_node(host, self.authority)
        self.configure(host)
        chassis.start(
            host,
            southbound="unix:/run/ovn/ovnsb_db.sock" if host.name == CONTROL else self.southbound,
            tunnel=prefixed(UNDERLAY, self.index(host.name)),
            encapsulation=self.plan.encapsulation,
            gateway=host.name in self.plan.gateways,
        )
        if host.name != CONTROL:
            hypervisor.start(host, self.tree(host.name) / "hooks" / "qemu" if self.plan.hook else None)
        chassis.wait_registered(self.control, host.name)

    def _meet(self, hosts: Iterable[LabHost]) -> None:
        """Resolve ARP between all pairs of chassis on the underlay, so that no first packet waits for it."""
        everyone = [host for host in self.hosts.values() if host.name != OUTSIDE]
        pairs = [(one, other) for one in hosts for other in everyone if one is not other]

        def greet(pair: tuple[LabHost, LabHost]) -> None:
            target = self.tunnel_address(pair[1].name)
            pair[0].run(["busybox", "ping", "-q", "-c", "1", "-w", "5", target])

        self._each(greet, pairs)

    @staticmethod
    def _each(work: Callable[[T], object], things: Iterable[T]) -> None:
        with ThreadPoolExecutor(max_workers=8) as pool:
            for done in [pool.submit(work, thing) for thing in things]:
                done.result()


def _end_everything(places: list[tuple[str, int]], known: list[Process]) -> None:
    """End all processes in the namespaces, and the known ones; repeat for processes that were just starting."""
    left: list[Process] = []
    for _ in range(5):
        found = set(inside(places)) | {process for process in known if process.alive}
        if not found:
            return
        left = end_all(found, grace=1.0)
    if left:
        raise LabError("could not end: " + "; ".join(f"{process.pid} {process.command}" for process in left))
