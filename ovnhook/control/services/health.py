"""The standard gRPC health service. Services are healthy if the northbound database is reachable."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping
from typing import ClassVar, Self

import grpc

from ovnhook.api.grpc.health.v1 import health_pb2 as api
from ovnhook.api.grpc.health.v1 import health_pb2_grpc
from ovnhook.base.deadline import Deadline
from ovnhook.base.errors import NotFound, OvnhookError
from ovnhook.control.roles import READS, Rule
from ovnhook.control.service import Dependencies, Service
from ovnhook.databases.northbound import Northbound

_TIMEOUT = 2.0  # seconds for the database to answer
_INTERVAL = 2.0  # seconds between two checks of a watch


class Health(Service):
    """Reports the health of the server and of each service, which is the same.

    Args:
        northbound: northbound database.
        services: full names of the services.
    """

    NAME = "grpc.health.v1.Health"
    RULES: ClassVar[Mapping[str, Rule]] = {
        "Check": READS,
        "Watch": READS,
    }

    def __init__(self, northbound: Northbound, services: Collection[str]) -> None:
        self._northbound = northbound
        self._services = {"", *services}
        self._stop = threading.Event()

    @classmethod
    def of(cls, found: Dependencies) -> Self:
        """See Service."""
        return cls(found.northbound, found.names)

    def add_to(self, server: grpc.Server) -> None:
        """See Service."""
        health_pb2_grpc.add_HealthServicer_to_server(self, server)

    def Check(self, request: api.HealthCheckRequest, _context: grpc.ServicerContext) -> api.HealthCheckResponse:
        """Report the health once."""
        if request.service not in self._services:
            raise NotFound(f"there is no service '{request.service}'")
        return api.HealthCheckResponse(status=self._status())

    def Watch(
        self, request: api.HealthCheckRequest, context: grpc.ServicerContext
    ) -> Iterator[api.HealthCheckResponse]:
        """Stream the health, now and after each change."""
        known, before = request.service in self._services, None
        while context.is_active() and not self._stop.is_set():
            status = self._status() if known else api.HealthCheckResponse.SERVICE_UNKNOWN
            if status != before:
                yield api.HealthCheckResponse(status=status)
            before = status
            self._stop.wait(_INTERVAL)

    def stop(self) -> None:
        """End all watches."""
        self._stop.set()

    def _status(self) -> api.HealthCheckResponse.ServingStatus:
        try:
            self._northbound.cloud(Deadline.after(_TIMEOUT))
        except OvnhookError:
            return api.HealthCheckResponse.NOT_SERVING
        return api.HealthCheckResponse.SERVING
