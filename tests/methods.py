"""Methods of the API: by full name, which of them read, and who may call each."""

from __future__ import annotations

import re

from ovnhook.api.grpc.health.v1 import health_pb2
from ovnhook.api.grpc.reflection.v1alpha import reflection_pb2
from ovnhook.api.protos import PROTOS
from ovnhook.control.service import rules
from ovnhook.control.services import JOINING, SERVICES

OWN = {
    f"/{service.full_name}/{method.name}": method
    for proto in PROTOS
    for service in proto.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
"""Methods of the package."""
STANDARD = {
    f"/{service.full_name}/{method.name}": method
    for proto in (health_pb2, reflection_pb2)
    for service in proto.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
"""Methods of health checking and reflection."""
RULES = rules([*SERVICES, JOINING])
READING = re.compile(r".*/(Get|List|Watch|Check|ServerReflectionInfo)\w*")
