"""The gRPC server: on its unix socket, which root alone may open, and over TCP where that is configured."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TextIO

from netaddr import IPNetwork

from ovnhook.api.grpc.health.v1 import health_pb2, health_pb2_grpc
from ovnhook.api.grpc.reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from ovnhook.api.protos import PROTOS
from ovnhook.api.v1 import (
    attachments_pb2_grpc,
    certificates_pb2_grpc,
    changes_pb2_grpc,
    enrolment_pb2_grpc,
    floating_ips_pb2_grpc,
    leases_pb2_grpc,
    nodes_pb2_grpc,
    ports_pb2_grpc,
    routers_pb2_grpc,
    status_pb2_grpc,
    subnets_pb2_grpc,
)
from ovnhook.base.config import Config
from ovnhook.base.errors import OvnhookError
from ovnhook.base.liveness import Liveness
from ovnhook.control import listener, roles
from ovnhook.control.gateways import Gateways
from ovnhook.control.guard import Remotes
from ovnhook.control.loop import Loop
from ovnhook.control.repairs import Repairs
from ovnhook.control.services.attachments import Attachments
from ovnhook.control.services.certificates import Certificates
from ovnhook.control.services.enrolment import Enrolment
from ovnhook.control.services.floating_ips import FloatingIps
from ovnhook.control.services.health import Health
from ovnhook.control.services.leases import Leases
from ovnhook.control.services.nodes import Nodes
from ovnhook.control.services.ports import Ports
from ovnhook.control.services.reflection import Reflection
from ovnhook.control.services.routers import Routers
from ovnhook.control.services.status import Status
from ovnhook.control.services.subnets import Subnets
from ovnhook.control.services.watches import Changes
from ovnhook.control.trust import Trust
from ovnhook.databases.northbound import Northbound
from ovnhook.databases.southbound import Southbound
from ovnhook.databases.trust import TrustRow
from ovnhook.databases.vswitch import Vswitch
from ovnhook.engine import underlay
from ovnhook.engine.attach import Attachment
from ovnhook.ovsdb import tls
from ovnhook.pki.members import Members

_PROBE = 5.0  # seconds between two calls of our own listeners
_SWEEP = 1.0  # seconds between two looks for calls that are overdue


class ControlServer:
    """Serves the API from when it is started until it is stopped.

    Args:
        path: of the socket; one that a dead service left behind is replaced.
        config: where the databases are, and where else to serve.
        clock: seconds, as ``time.monotonic()`` counts them, for what has to go on.

    Attributes:
        liveness: of the loops, and of the listeners, which are called as a client would.

    Raises:
        InvalidConfig: the certificates or the authority are not what they are to be.
    """

    def __init__(self, path: Path, config: Config, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._config = config
        tls.configure(config)
        self._northbound = Northbound(config.northbound)
        self._southbound = Southbound(config.southbound)
        self._vswitch = Vswitch(config.vswitch, config.integration_bridge)
        self._gateways = Gateways(self._northbound, self._southbound)
        self._repairs = Repairs(self._northbound)
        row = TrustRow(self._northbound.database)
        self._trust = Trust(row, Path(config.authority)) if config.authority else None
        is_own = (config.northbound, config.southbound) == (Config.northbound, Config.southbound)
        databases = self._northbound.database, self._southbound.database
        self._remotes = Remotes(*databases, Path(config.authority)) if self._trust and is_own else None
        self._changes = Changes(config.northbound)
        protos = (*PROTOS, health_pb2, reflection_pb2)
        found = [one.full_name for proto in protos for one in proto.DESCRIPTOR.services_by_name.values()]
        names = [one for one in found if one != "ovnhook.v1.Enrolment"]
        self._health = Health(self._northbound, names)
        services = self._services(names)
        self._listeners = [listener.of_root(path, services, roles.caller_of)]
        if config.listen:
            identify = partial(roles.trusted_caller_of, self._members) if self._trust else roles.caller_of
            self._listeners.append(listener.of_clients(config, services, identify))
        if self._trust and config.enrolment:
            add = partial(enrolment_pb2_grpc.add_EnrolmentServicer_to_server, Enrolment(self._trust))
            self._listeners.append(listener.of_newcomers(config, [add], roles.anybody))
        self._loops = [self._gateways.loop, self._repairs.loop, Loop("sweeper", self._sweep, _SWEEP)]
        self._loops += [one.loop for one in (self._trust, self._remotes) if one]
        self._loops += [self._trust.prober] if self._trust else []
        self.liveness = Liveness([*(one.name for one in self._loops), *(one.where for one in self._listeners)], clock)
        for loop in self._loops:
            loop.beat = self.liveness.beat(loop.name)
        self._prober = Loop("prober", self._probe, _PROBE)
        self._started = ExitStack()

    def _services(self, names: Sequence[str]) -> listener.Services:
        """What clients are served."""
        northbound, southbound, vswitch, config = self._northbound, self._southbound, self._vswitch, self._config
        carried = partial(underlay.of_cloud, southbound.mtus, vswitch)
        attachment = Attachment(northbound, IPNetwork(config.isolated_pool), carried)
        attachments = Attachments(attachment, southbound, config.integration_bridge)
        certificates = Certificates(self._trust, config)
        routers = Routers(northbound, southbound, self._gateways.look, self._repairs)
        seen = self._members, self._trust.packets if self._trust else None, self._remotes
        status = Status(northbound, southbound, *seen, self._gateways, self._repairs)
        return [
            partial(
                subnets_pb2_grpc.add_SubnetsServicer_to_server, Subnets(northbound, southbound, carried, self._repairs)
            ),
            partial(routers_pb2_grpc.add_RoutersServicer_to_server, routers),
            partial(
                floating_ips_pb2_grpc.add_FloatingIpsServicer_to_server,
                FloatingIps(northbound, self._repairs),
            ),
            partial(leases_pb2_grpc.add_LeasesServicer_to_server, Leases(northbound)),
            partial(attachments_pb2_grpc.add_AttachmentsServicer_to_server, attachments),
            partial(ports_pb2_grpc.add_PortsServicer_to_server, Ports(northbound, attachment, attachments)),
            partial(
                nodes_pb2_grpc.add_NodesServicer_to_server, Nodes(northbound, southbound, attachment, certificates)
            ),
            partial(status_pb2_grpc.add_StatusServicer_to_server, status),
            partial(certificates_pb2_grpc.add_CertificatesServicer_to_server, certificates),
            partial(changes_pb2_grpc.add_ChangesServicer_to_server, self._changes),
            partial(health_pb2_grpc.add_HealthServicer_to_server, self._health),
            partial(reflection_pb2_grpc.add_ServerReflectionServicer_to_server, Reflection(names)),
        ]

    def _members(self) -> Members:
        """Who is let in, as far as it is known."""
        return self._trust.members if self._trust else Members()

    def start(self) -> None:
        """Serve. If that fails, nothing of it goes on.

        Raises:
            OvnhookError: another service serves there, or nobody can.
        """
        with ExitStack() as started:
            for side in (self._northbound, self._southbound, self._vswitch):
                started.callback(side.database.close)
            started.callback(_lock(self._path).close)
            started.callback(self._path.unlink, missing_ok=True)
            if self._trust:
                self._trust.begin()
            for loop in self._loops:
                started.callback(loop.stop)
                loop.start()
            for one in self._listeners:
                one.start()
                started.callback(one.stop)
            started.callback(self._changes.stop)
            started.callback(self._health.stop)
            started.callback(self._prober.stop)
            self._prober.start()
            self._started = started.pop_all()

    def keep_alive(self) -> None:
        """Keep the databases' connections alive; called every few seconds."""
        self._northbound.database.keep_alive()
        self._southbound.database.keep_alive()
        self._vswitch.database.keep_alive()

    def stop(self) -> None:
        """Let the calls that are under way end, and end."""
        self._started.close()

    def _sweep(self) -> None:
        for one in self._listeners:
            one.admission.sweep()

    def _probe(self) -> None:
        for one in self._listeners:
            if one.answers():
                self.liveness.beat(one.where)()


def _lock(path: Path) -> TextIO:
    """Hold the right to serve on a socket, for as long as the file that is returned is open."""
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        file = path.with_name(f"{path.name}.lock").open("w")
    except OSError as error:
        raise OvnhookError(f"can't serve on {path}: {error.strerror}") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise OvnhookError(f"another control service serves on {path}") from error
    return file
