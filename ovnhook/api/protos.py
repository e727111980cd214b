"""The protos of package ``ovnhook.v1``: what looks something up in all of them finds them here."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import Descriptor

from ovnhook.api.v1 import (
    agents_pb2,
    attachments_pb2,
    certificates_pb2,
    changes_pb2,
    enrolment_pb2,
    floating_ips_pb2,
    leases_pb2,
    nodes_pb2,
    ports_pb2,
    routers_pb2,
    security_groups_pb2,
    status_pb2,
    subnets_pb2,
)

PROTOS = (
    subnets_pb2,
    routers_pb2,
    security_groups_pb2,
    floating_ips_pb2,
    leases_pb2,
    ports_pb2,
    attachments_pb2,
    agents_pb2,
    nodes_pb2,
    certificates_pb2,
    enrolment_pb2,
    status_pb2,
    changes_pb2,
)
"""One for each service."""


def message_class(message: Descriptor) -> Any:
    """The class of a message. protobuf has another name for this in each version."""
    (proto,) = (proto for proto in PROTOS if proto.DESCRIPTOR.name == message.file.name)
    return getattr(proto, message.name)
