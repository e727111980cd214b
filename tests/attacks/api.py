"""What a client tries at the control service with its certificate, or without one. Runs on any host: see `main`.

The cloud has domains of another host, the victims: `RUNNING` and `STOPPED` of libvirt, `ATTACHED` and `DETACHED` of an
API client, and `SECLUDED` with a subnet of its own.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from lab.waiting import HANG
from ovnhook.api import messages
from ovnhook.api.protos import PROTOS, message_class
from ovnhook.base.config import SERVER_NAME
from ovnhook.pki.keyfiles import Files

RUNNING, STOPPED, ATTACHED, DETACHED, SECLUDED = "web1", "web2", "box1", "box2", "vault"
OK, DENIED = "OK", "PERMISSION_DENIED"
REFUSED = frozenset({DENIED, "FAILED_PRECONDITION", "ALREADY_EXISTS", "INVALID_ARGUMENT", "NOT_FOUND"})
HARMLESS = REFUSED | {OK}
"""The answer may be success as well, but nothing changes: a late call of an honest host is answered like that."""

PENDING = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", *REFUSED})
"""Nobody confirms it, until the deadline."""

OWN_UUID, OWN_MAC = "5d1f6c0e-8a53-4c57-9c1e-0d4f3b7a2e61", "52:54:00:aa:00:01"
_METHODS = {
    method.name: method
    for proto in PROTOS
    for service in proto.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
_OF_A_DOMAIN = ("RollBackStart", "DetachDomain", "UpdateDomainLeases", "ReleaseDomainLeases")
_OF_A_MIGRATION = ("FinishMigration", "CancelMigration")
_SHORT = 2.0  # seconds for a call that waits for another host

Fields = dict[str, Any]


@dataclass(frozen=True)
class ApiAttempt:
    """A call that a client tries.

    Attributes:
        method: its name.
        fields: its request.
        statuses: those that it may end with.
        timeout: its deadline, in seconds.
    """

    method: str
    fields: Fields
    statuses: frozenset[str] = REFUSED
    timeout: float = HANG

    def __str__(self) -> str:
        """Name of the attempt, for the report of a test."""
        return f"{self.method} {json.dumps(self.fields)}"


class ApiClient:
    """Client of the control service.

    Args:
        address: HOST:PORT of the service.
        ca: its CA certificate.
        pair: client certificate and key, or None.
    """

    def __init__(self, address: str, ca: Path, pair: tuple[Path, Path] | None = None) -> None:
        certificate, key = (path.read_bytes() for path in pair) if pair else (None, None)
        credentials = grpc.ssl_channel_credentials(ca.read_bytes(), key, certificate)
        options = (("grpc.ssl_target_name_override", SERVER_NAME), ("grpc.use_local_subchannel_pool", 1))
        self._channel = grpc.secure_channel(address, credentials, options)

    @classmethod
    def of(cls, address: str, shown: Files) -> ApiClient:
        """Client with these files."""
        return cls(address, shown.ca, (shown.certificate, shown.key))

    def ask(self, method: str, timeout: float = HANG, **fields: Any) -> Any:
        """Call a method; return the response, or the first message of a stream.

        Raises:
            grpc.RpcError: the call failed.
        """
        found = _METHODS[method]
        make, path = message_class(found.input_type), f"/{found.containing_service.full_name}/{method}"
        decode, request = message_class(found.output_type).FromString, make(**fields).SerializeToString()
        if not found.server_streaming:
            return self._channel.unary_unary(path, response_deserializer=decode)(request, timeout=timeout)
        stream = self._channel.unary_stream(path, response_deserializer=decode)(request, timeout=timeout)
        first = next(stream)
        stream.cancel()
        return first

    def status(self, method: str, timeout: float = HANG, **fields: Any) -> str:
        """Call a method; return the name of its status."""
        try:
            self.ask(method, timeout, **fields)
        except grpc.RpcError as error:
            return str(error.code().name)
        return OK

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()


@dataclass(frozen=True)
class Victims:
    """Domains of another host, as everybody may list them.

    Attributes:
        ports: by name of the domain.
        leases: likewise.
    """

    ports: dict[str, Fields] = field(default_factory=dict)
    leases: dict[str, Fields] = field(default_factory=dict)

    @classmethod
    def listed(cls, client: ApiClient) -> Victims:
        """The victims of a cloud."""
        ports = messages.plain(client.ask("ListPorts"))["ports"]
        leases = messages.plain(client.ask("ListLeases"))["leases"]
        return cls(*({one["domain_name"]: one for one in rows} for rows in (ports, leases)))

    def uuid(self, name: str) -> str:
        """UUID of a domain."""
        return str(self.leases[name]["domain"])


def attempts_of_node(own: str, other: str, victims: Victims) -> Iterator[ApiAttempt]:
    """All that a node tries against another host.

    Args:
        own: its chassis.
        other: the other host's chassis.
        victims: domains there.
    """
    yield from _in_the_name_of(other, victims)
    yield from _domains_by_uuid(own, victims)
    yield from _clients_domains_by_uuid(own, victims)
    yield from _migrations(own, other, victims)
    yield from _what_others_have(own, victims)
    yield from attempts_of_reader(other, victims, {DENIED})


def attempts_of_reader(host: str, victims: Victims, denied: Iterable[str] = (DENIED,)) -> Iterator[ApiAttempt]:
    """Changes of the cloud that only operators may make.

    Args:
        host: a host.
        victims: domains there.
        denied: statuses that the calls may end with.
    """
    address = victims.leases[RUNNING]["address"]
    for method, fields in (
        ("CreateSubnet", {"subnet": {"name": "attack", "cidr": "10.66.0.0/24"}}),
        ("UpdateSubnet", {"subnet": {"name": "blue", "mtu": 576}, "update_mask": {"paths": ["mtu"]}}),
        ("DeleteSubnet", {"name": "blue"}),
        ("CreateRouter", {"router": {"name": "attack"}}),
        ("UpdateRouter", {"router": {"name": "gateway", "no_snat": True}, "update_mask": {"paths": ["no_snat"]}}),
        ("MoveGateway", {"name": "gateway", "host": host}),
        ("DeleteRouter", {"name": "gateway"}),
        ("CreateFloatingIp", {"address": "203.0.113.66", "target": RUNNING}),
        ("DeleteFloatingIp", {"address": "203.0.113.20"}),
        ("ReleaseLease", {"address": victims.leases[STOPPED]["address"]}),
        ("ReleaseLease", {"address": address}),
        ("RemoveNode", {"name": host, "force": True}),
        ("CreateToken", {"name": "attack"}),
        ("CreateToken", {"name": "attack", "role": "control"}),
        ("IssueCertificate", {"name": "attack", "role": "operator", "request": "x"}),
        ("RevokeCertificate", {"name": host, "role": "node"}),
    ):
        yield ApiAttempt(method, fields, frozenset(denied))


def attempts_of_host(own: str, victims: Victims) -> Iterator[ApiAttempt]:
    """Changes that a node may make on its own host, tried with a certificate of another role."""
    for method, fields in _requests_of(own, libvirt_domain(victims.uuid(RUNNING), RUNNING, OWN_MAC), victims):
        yield ApiAttempt(method, fields, frozenset({DENIED}))


def _in_the_name_of(other: str, victims: Victims) -> Iterator[ApiAttempt]:
    """Every request of a host, with the name of another one."""
    for domain in (libvirt_domain(victims.uuid(RUNNING), RUNNING, OWN_MAC), libvirt_domain(OWN_UUID, "mine", OWN_MAC)):
        for method, fields in _requests_of(other, domain, victims):
            yield ApiAttempt(method, fields, frozenset({DENIED}))
    yield ApiAttempt("DeletePort", {"id": victims.ports[ATTACHED]["id"]}, frozenset({DENIED}))
    yield ApiAttempt("DeletePort", {"id": victims.ports[RUNNING]["id"]}, frozenset({DENIED}))


def _requests_of(host: str, domain: Fields, victims: Victims) -> Iterator[tuple[str, Fields]]:
    """Every request that a host makes for a domain."""
    for method in (*_OF_A_DOMAIN, *_OF_A_MIGRATION, "AttachDomain", "AnnounceMigration", "GetDomain"):
        yield method, {"host": host, "domain": domain}
    yield "ConfirmMigration", {"host": host, "domain": domain["uuid"], "destination": "attack"}
    yield "ReportHost", {"host": host, "agent_version": "attack", "mtu": 576}
    yield "Attach", {"host": host, "name": "mine", "interfaces": [{"mac": OWN_MAC}]}
    yield "CreatePort", {"host": host, "name": "mine", "interface": {"mac": OWN_MAC}}
    for name in (ATTACHED, DETACHED):
        yield "Detach", {"host": host, "domain": victims.uuid(name)}
        yield "Detach", {"host": host, "domain": victims.uuid(name), "forget": True}
    yield "WatchHost", {"host": host}


def _domains_by_uuid(own: str, victims: Victims) -> Iterator[ApiAttempt]:
    """Domains of another host's libvirt, by their UUID."""
    for name in (RUNNING, SECLUDED):
        for mac in (OWN_MAC, victims.ports[name]["mac"]):
            domain = libvirt_domain(victims.uuid(name), name, mac)
            yield ApiAttempt("AttachDomain", {"host": own, "domain": domain})
            yield ApiAttempt("AttachDomain", {"host": own, "domain": domain, "running": True}, HARMLESS)
            empty = {**domain, "interfaces": []}
            yield ApiAttempt("AttachDomain", {"host": own, "domain": empty}, HARMLESS)
            yield ApiAttempt("AttachDomain", {"host": own, "domain": empty, "running": True}, HARMLESS)
    for name in (RUNNING, STOPPED, SECLUDED):
        for domain in (
            libvirt_domain(victims.uuid(name), "renamed", OWN_MAC),
            libvirt_domain(victims.uuid(name), "renamed", victims.leases[name]["mac"]),
            {"uuid": victims.uuid(name), "id": -1},
        ):
            for method in (*_OF_A_DOMAIN, *_OF_A_MIGRATION):
                yield ApiAttempt(method, {"host": own, "domain": domain}, HARMLESS)
        for mac in (OWN_MAC, victims.leases[name]["mac"]):
            there = {"host": own, "domain": victims.uuid(name), "name": name}
            yield ApiAttempt("Attach", {**there, "interfaces": [{"mac": mac}]})
            yield ApiAttempt("CreatePort", {**there, "interface": {"mac": mac}})
        there = {"host": own, "domain": victims.uuid(name)}
        yield ApiAttempt("Detach", there, HARMLESS)
        yield ApiAttempt("Detach", {**there, "forget": True}, HARMLESS)


def _clients_domains_by_uuid(own: str, victims: Victims) -> Iterator[ApiAttempt]:
    """Domains of an API client, which has attached them on another host."""
    for mac in (OWN_MAC, victims.ports[ATTACHED]["mac"]):
        there = {"host": own, "domain": victims.uuid(ATTACHED), "name": ATTACHED}
        yield ApiAttempt("Attach", {**there, "interfaces": [{"mac": mac}]})
        yield ApiAttempt("CreatePort", {**there, "interface": {"mac": mac}})
    for name in (ATTACHED, DETACHED):
        there = {"host": own, "domain": victims.uuid(name)}
        yield ApiAttempt("Detach", there, HARMLESS)
        yield ApiAttempt("Detach", {**there, "forget": True}, HARMLESS)
        for mac in (OWN_MAC, victims.leases[name]["mac"]):
            fields = {"host": own, "domain": libvirt_domain(victims.uuid(name), name, mac)}
            yield ApiAttempt("AttachDomain", fields)
            yield ApiAttempt("AttachDomain", {**fields, "running": True}, HARMLESS)
            for method in (*_OF_A_DOMAIN, *_OF_A_MIGRATION):
                yield ApiAttempt(method, fields, HARMLESS)


def _migrations(own: str, other: str, victims: Victims) -> Iterator[ApiAttempt]:
    """Migrations that nobody has begun, and confirmations of none."""
    for name in (RUNNING, ATTACHED):
        domain = libvirt_domain(victims.uuid(name), name, victims.ports[name]["mac"])
        yield ApiAttempt("AnnounceMigration", {"host": own, "domain": domain}, PENDING, _SHORT)
        yield ApiAttempt("FinishMigration", {"host": own, "domain": domain}, HARMLESS)
        for destination in (own, other, "attack", ""):
            fields = {"host": own, "domain": victims.uuid(name), "destination": destination}
            yield ApiAttempt("ConfirmMigration", fields)


def _what_others_have(own: str, victims: Victims) -> Iterator[ApiAttempt]:
    """Address, MAC address, host name, interface ID and isolated subnet of others, for a domain of its own."""
    lease, port, secluded = victims.leases[RUNNING], victims.ports[RUNNING], victims.ports[SECLUDED]
    for change in (
        {"addresses": [lease["address"]]},
        {"addresses": [victims.leases[STOPPED]["address"]]},
        {"mac": port["mac"]},
        {"hostname": lease["hostname"]},
        {"subnet": secluded["subnet"]},
        {"subnet": "absent"},
    ):
        mine = {"mac": OWN_MAC, "subnet": port["subnet"], **change}
        yield from _with_interface(own, mine, mine)
    yield from _with_interface(own, {"mac": OWN_MAC, "interface_id": port["id"]}, {"mac": OWN_MAC, "id": port["id"]})


def _with_interface(own: str, libvirt: Fields, client: Fields) -> Iterator[ApiAttempt]:
    """Starts of a domain of its own, with this interface."""
    domain = libvirt_domain(OWN_UUID, "mine", libvirt["mac"])
    domain["interfaces"] = [{"type": "bridge", **libvirt}]
    yield ApiAttempt("AttachDomain", {"host": own, "domain": domain})
    yield ApiAttempt("AttachDomain", {"host": own, "domain": domain, "running": True}, HARMLESS)
    yield ApiAttempt("Attach", {"host": own, "name": "mine", "interfaces": [client]})
    yield ApiAttempt("CreatePort", {"host": own, "name": "mine", "interface": client})


def libvirt_domain(uuid: str, name: str, mac: str) -> Fields:
    """A domain with one interface."""
    interface = {"mac": mac, "type": "bridge"}
    return {"uuid": uuid, "name": name, "id": 1, "interfaces": [interface], "macs": [mac]}


def main() -> None:
    """Try all that a node tries, and print what was not answered as it has to be.

    Arguments: HOST:PORT, the files of certificate, key and CA, the node's chassis, and the other host's.
    """
    address, certificate, key, ca, own, other = sys.argv[1:]
    client = ApiClient(address, Path(ca), (Path(certificate), Path(key)))
    wrong = {}
    for one in attempts_of_node(own, other, Victims.listed(client)):
        status = client.status(one.method, one.timeout, **one.fields)
        if status not in one.statuses:
            wrong[str(one)] = status
    print(json.dumps(wrong))
    client.close()


if __name__ == "__main__":
    main()
