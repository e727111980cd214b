"""The gRPC server: on its unix socket, which root alone may open, and over TCP where that is configured."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TextIO

import grpc
from netaddr import IPNetwork

from ovnhook import underlay
from ovnhook.api.grpc.health.v1 import health_pb2, health_pb2_grpc
from ovnhook.api.grpc.reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from ovnhook.api.v1 import ovnhook_pb2, ovnhook_pb2_grpc
from ovnhook.attachment import Attachment
from ovnhook.config import Config
from ovnhook.control import roles, tcp
from ovnhook.control.attachments import Attachments
from ovnhook.control.calls import STREAMS, Calls
from ovnhook.control.certificates import Certificates
from ovnhook.control.enrolment import Door
from ovnhook.control.floating import FloatingAddresses
from ovnhook.control.gateways import Gateways
from ovnhook.control.health import Health
from ovnhook.control.leases import Leases
from ovnhook.control.nodes import Nodes
from ovnhook.control.ports import Ports
from ovnhook.control.reflection import Reflection
from ovnhook.control.routers import Routers
from ovnhook.control.status import Status
from ovnhook.control.subnets import Subnets
from ovnhook.control.trust import Trust
from ovnhook.control.watches import Changes
from ovnhook.errors import OvnhookError
from ovnhook.members import Members
from ovnhook.ovsdb import tls
from ovnhook.ovsdb.northbound import Northbound
from ovnhook.ovsdb.southbound import Southbound
from ovnhook.ovsdb.trust import Trust as TrustRow
from ovnhook.ovsdb.vswitch import Vswitch

_THREADS = 16  # for calls that are answered at once; streams have theirs beside them
_OPTIONS = [
    ("grpc.so_reuseport", 0),  # with it a second service could listen beside the first
    # A client that is gone without a word is noticed, and one that watches may notice that we are.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
]
_GRACE = 5.0  # seconds that calls have to end when the service does


class Server:
    """Serves the API from when it is made until it is stopped.

    Args:
        path: of the socket; one that a dead service left behind is replaced.
        config: where the databases are, and where else to serve.

    Raises:
        OvnhookError: another service serves there, or nobody can, or the certificates are not what they are to be.
    """

    def __init__(self, path: Path, config: Config) -> None:
        self._path = path
        tls.show(config)
        self._northbound = Northbound(config.northbound)
        self._southbound = Southbound(config.southbound)
        self._vswitch = Vswitch(config.vswitch, config.integration_bridge)
        self._gateways = Gateways(self._northbound, self._southbound)
        row = TrustRow(self._northbound.database)
        self._trust = trust = Trust(row, Path(config.authority)) if config.authority else None
        identify = partial(roles.trusted_caller_of, self._members) if trust else roles.caller_of
        protos = (ovnhook_pb2, health_pb2, reflection_pb2)
        served = [
            one for proto in protos for one in proto.DESCRIPTOR.services_by_name.values() if one.name != "Enrolment"
        ]
        services = [one.full_name for one in served]
        self._health = Health(self._northbound, services)
        streams = sum(method.server_streaming for one in served for method in one.methods)
        self._server = grpc.server(
            ThreadPoolExecutor(_THREADS + streams * STREAMS), interceptors=[Calls(identify)], options=_OPTIONS
        )
        self._add_services(config, services)
        self._lock = _lock(path)
        _bind(self._server, path)
        if config.listen:
            tcp.listen(self._server, config.listen, config)
        self._door = Door(trust, config) if trust and config.enrolment else None
        if self._trust:
            self._trust.start()
        self._server.start()
        self._gateways.start()

    def _add_services(self, config: Config, services: Sequence[str]) -> None:
        ovnhook_pb2_grpc.add_SubnetsServicer_to_server(
            Subnets(self._northbound, self._southbound, self._vswitch), self._server
        )
        routers = Routers(self._northbound, self._southbound, self._gateways.look)
        ovnhook_pb2_grpc.add_RoutersServicer_to_server(routers, self._server)
        floating = FloatingAddresses(self._northbound)
        ovnhook_pb2_grpc.add_FloatingAddressesServicer_to_server(floating, self._server)
        ovnhook_pb2_grpc.add_LeasesServicer_to_server(Leases(self._northbound), self._server)
        pool = IPNetwork(config.isolated_pool)
        attachment = Attachment(self._northbound, pool, partial(underlay.read, self._vswitch))
        attachments = Attachments(attachment, self._southbound, config.integration_bridge)
        ovnhook_pb2_grpc.add_AttachmentsServicer_to_server(attachments, self._server)
        ports = Ports(self._northbound, attachment, attachments)
        ovnhook_pb2_grpc.add_PortsServicer_to_server(ports, self._server)
        certificates = Certificates(self._trust, config)
        nodes = Nodes(self._northbound, self._southbound, attachment, certificates)
        ovnhook_pb2_grpc.add_NodesServicer_to_server(nodes, self._server)
        ovnhook_pb2_grpc.add_StatusServicer_to_server(
            Status(self._northbound, self._southbound, self._members), self._server
        )
        ovnhook_pb2_grpc.add_CertificatesServicer_to_server(certificates, self._server)
        self._changes = Changes(config.northbound)
        ovnhook_pb2_grpc.add_ChangesServicer_to_server(self._changes, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(Reflection(services), self._server)

    def _members(self) -> Members:
        """Who is let in, as far as it is known."""
        return self._trust.members if self._trust else Members()

    def tend(self) -> None:
        """Keep the databases' connections alive; called every few seconds."""
        self._northbound.database.tend()
        self._southbound.database.tend()
        self._vswitch.database.tend()

    def stop(self) -> None:
        """Let the calls that are under way end, and end."""
        self._health.stop()
        self._changes.stop()
        self._gateways.stop()
        if self._trust:
            self._trust.stop()
        if self._door:
            self._door.stop(_GRACE)
        self._server.stop(_GRACE).wait()
        self._path.unlink(missing_ok=True)
        self._northbound.database.close()
        self._southbound.database.close()
        self._vswitch.database.close()
        self._lock.close()


def _bind(server: grpc.Server, path: Path) -> None:
    """Let a server serve on a socket that root alone may open."""
    before = os.umask(0o177)
    try:
        path.unlink(missing_ok=True)
        bound = server.add_insecure_port(f"unix:{path}")
    except (OSError, RuntimeError) as error:  # the latter from newer versions of grpc
        raise OvnhookError(f"can't serve on {path}: {error}") from error
    finally:
        os.umask(before)
    if not bound:
        raise OvnhookError(f"can't serve on {path}")


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
