"""The client beside control hosts that are away, silent, or answer too late: what is repeated, and what never is."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from ovnhook.api import calls, client
from ovnhook.api.client import Client
from ovnhook.base.config import Config
from ovnhook.base.errors import AlreadyExists, InvalidRequest, Unavailable
from ovnhook.cli.commands import certificate
from ovnhook.control import roles
from ovnhook.control.services import certificates
from ovnhook.pki import keyfiles, x509
from ovnhook.pki.keyfiles import Files
from tests.database.control_host import ControlHost, cloud
from tests.methods import OWN, RULES

__all__ = ["cloud"]  # the fixture


class UnavailableService:
    """A control host that takes calls, and ends them with UNAVAILABLE: nobody can say whether they were carried out."""

    def __init__(self, cloud: ControlHost) -> None:
        self.calls: list[str] = []
        self._server = grpc.server(ThreadPoolExecutor(2))
        files = cloud.files.api
        shown = grpc.ssl_server_credentials([(files.key.read_bytes(), files.certificate.read_bytes())])
        self.where = f"127.0.0.1:{self._server.add_secure_port('127.0.0.1:0', shown)}"
        self._server.add_generic_rpc_handlers((self,))
        self._server.start()

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        """See grpc.GenericRpcHandler."""
        self.calls.append(details.method.rpartition("/")[2])

        def end(_request: bytes, context: grpc.ServicerContext) -> None:
            context.abort(grpc.StatusCode.UNAVAILABLE, "OVN_Northbound: it may or may not have been written")

        return grpc.unary_unary_rpc_method_handler(end)

    def stop(self) -> None:
        """End."""
        self._server.stop(None).wait()


@pytest.fixture
def failing(cloud: ControlHost, monkeypatch: pytest.MonkeyPatch) -> Iterator[UnavailableService]:
    """One, which is not passed over because the machine is slow."""
    monkeypatch.setattr(calls, "_CONNECT", 60.0)
    made = UnavailableService(cloud)
    yield made
    made.stop()


@pytest.fixture
def operator(cloud: ControlHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Client]:
    """Makes a client with an operator's certificate, of some control hosts."""
    monkeypatch.chdir(tmp_path)
    assert cloud.ovnhook("certificate", "create", "ann", "--role", "operator").status == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ann.key", "ann.pem", "ca.pem"]

    def make(*servers: str) -> Client:
        config = Config(
            control=",".join(servers),
            database_certificate="ann.pem",
            database_private_key="ann.key",
            database_ca="ca.pem",
        )
        monkeypatch.setattr(client, "load", lambda: config)
        return Client(None, 60)

    return make


@pytest.fixture
def silent() -> Iterator[str]:
    """A host that lets everybody connect and says nothing, as one that is frozen."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def test_hosts_that_are_away(
    cloud: ControlHost, operator: Callable[..., Client], silent: str, make_port: Callable[[], int]
) -> None:
    """Calls of every kind go to the next one: nothing was sent."""
    caller = operator(f"127.0.0.1:{make_port()}", silent, cloud.api)
    assert caller.pages("ListNodes", "nodes") == []
    assert caller.call("CreateToken", name="hv1")["token"]
    assert caller.call("CreateSubnet", subnet={"name": "blue", "cidr": "10.1.0.0/24"})["name"] == "blue"


def test_nobody_is_there(operator: Callable[..., Client], make_port: Callable[[], int]) -> None:
    """Each is named, and where to look."""
    servers = [f"127.0.0.1:{make_port()}" for _ in range(2)]
    with pytest.raises(Unavailable) as caught:
        operator(*servers).call("ListNodes")
    assert all(f"the control service at {server} can't be reached" in caught.value.message for server in servers)
    assert caught.value.hint.startswith("openssl x509")


@pytest.mark.parametrize(
    ("method", "fields"),
    [
        ("CreateToken", {"name": "hv1"}),
        ("MoveGateway", {"name": "gateway"}),
        ("RemoveNode", {"name": "hv1"}),
        ("DeleteSubnet", {"name": "blue"}),
    ],
)
def test_what_is_not_repeated(
    cloud: ControlHost,
    failing: UnavailableService,
    operator: Callable[..., Client],
    method: str,
    fields: dict[str, str],
) -> None:
    """What may have been carried out, and would be carried out once more."""
    before = cloud.control.northbound.dump()
    with pytest.raises(Unavailable, match="may or may not have been written: it may or may not have been done"):
        operator(failing.where, cloud.api).call(method, **fields)
    assert failing.calls == [method]
    assert cloud.control.northbound.dump() == before


def test_what_is_repeated(cloud: ControlHost, failing: UnavailableService, operator: Callable[..., Client]) -> None:
    """What only looks, and what the proto says is the same twice."""
    assert operator(failing.where, cloud.api).pages("ListNodes", "nodes") == []
    caller = operator(failing.where, cloud.api)
    assert caller.call("CreateSubnet", subnet={"name": "blue", "cidr": "10.1.0.0/24"})["name"] == "blue"
    assert caller.pages("ListNodes", "nodes") == []  # of the one that answered
    assert failing.calls == ["ListNodes", "CreateSubnet"]


def test_a_host_that_takes_all_the_time(failing: UnavailableService, operator: Callable[..., Client]) -> None:
    """The others are not asked when none is left."""
    caller = operator(failing.where, "127.0.0.1:1", failing.where)
    caller._timeout = 0.0
    with pytest.raises(Unavailable) as caught:
        caller.call("ListNodes")
    assert caught.value.message == f"the control service at {failing.where} did not answer within 0 s"


def test_what_the_proto_says() -> None:
    """Every method that only looks says so; those that can't be repeated say nothing."""
    levels = OWN["/ovnhook.v1.Subnets/GetSubnet"].GetOptions().DESCRIPTOR
    names = levels.fields_by_name["idempotency_level"].enum_type.values_by_number
    found = {name: names[method.GetOptions().idempotency_level].name for name, method in OWN.items()}
    looking = (roles.READS, roles.READS_AND_WAITS)
    reads = {name for name in OWN if any(RULES[name] is rule for rule in looking)}
    reads |= {"/ovnhook.v1.Agents/GetDomain", "/ovnhook.v1.Agents/WatchHost"}  # of a node for its own host only
    assert {name for name, level in found.items() if level == "NO_SIDE_EFFECTS"} == reads
    unsafe = {name.rpartition("/")[2] for name, level in found.items() if level == "IDEMPOTENCY_UNKNOWN"}
    assert unsafe >= {"CreateToken", "MoveGateway", "RemoveNode", "Enrol", "RevokeCertificate", "ReleaseLease"}
    assert not unsafe & {"CreateSubnet", "UpdateRouter", "IssueCertificate"}


def test_one_connection(cloud: ControlHost, operator: Callable[..., Client], monkeypatch: pytest.MonkeyPatch) -> None:
    """For all calls of a process, and none beside it to find out whether somebody is there."""
    made: list[str] = []
    secure = grpc.secure_channel

    def noted(where: str, *more: Any, **named: Any) -> grpc.Channel:
        made.append(where)
        return secure(where, *more, **named)

    monkeypatch.setattr(grpc, "secure_channel", noted)
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: pytest.fail("a probe"))
    caller = operator(cloud.api)
    for number in range(5):
        caller.call("CreateSubnet", subnet={"name": f"s{number}", "cidr": f"10.{number}.0.0/24"})
    assert len(caller.pages("ListSubnets", "subnets", page_size=1)) == 5
    assert made == [cloud.api]


@pytest.mark.parametrize(
    ("method", "fields"),
    [
        ("GetPort", {"id": "\udcff"}),
        ("CreateSubnet", {"subnet": {"name": "blue", "cidr": "10.1.0.0/24", "mtu": 2**70}}),
        ("ListNodes", {"page_size": "many"}),
    ],
)
def test_what_can_not_be_asked(cloud: ControlHost, method: str, fields: dict[str, Any]) -> None:
    """An error as any other."""
    with pytest.raises(InvalidRequest):
        cloud.client.call(method, **fields)


def unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the next certificate be issued, and its answer be lost."""
    answer = certificates.Certificates._issued

    def lose(*_: object) -> None:
        monkeypatch.setattr(certificates.Certificates, "_issued", answer)
        raise Unavailable("OVN_Northbound: the answer came too late", "ovnhook status")

    monkeypatch.setattr(certificates.Certificates, "_issued", lose)


def test_a_certificate_whose_answer_is_lost(
    cloud: ControlHost, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The key is kept, and repeating the command gives its certificate, once."""
    monkeypatch.chdir(tmp_path)
    unknown(monkeypatch)
    command = ("certificate", "create", "alice", "--role", "operator")
    failed = cloud.ovnhook(*command)
    assert failed.status == 7
    assert "retry with the key in alice.operator.pending-key: ovnhook certificate create alice" in failed.error
    (pending,) = tmp_path.iterdir()
    assert pending.stat().st_mode & 0o777 == 0o600
    kept = pending.read_bytes()
    listed = cloud.client.pages("ListCertificates", "certificates")
    assert [row["name"] for row in listed if row["role"] == "operator"] == ["alice"]

    done = cloud.ovnhook(*command)
    assert (done.status, done.error) == (0, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alice.key", "alice.pem", "ca.pem"]
    assert (tmp_path / "alice.key").read_bytes() == kept
    assert cloud.trusts(Files(tmp_path / "alice.pem", tmp_path / "alice.key", tmp_path / "ca.pem"))
    listed = cloud.client.pages("ListCertificates", "certificates")
    assert [row["name"] for row in listed if row["role"] == "operator"] == ["alice"]


def test_a_certificate_of_one_key(cloud: ControlHost) -> None:
    """Is issued again to the same key, to no other one, and never after it was revoked."""
    secret = x509.new_key()
    fields = {"name": "bob", "role": "reader", "request": x509.request(secret).decode()}
    first, second = (cloud.client.call("IssueCertificate", **fields)["certificate"].encode() for _ in range(2))
    assert x509.issuer_of(first) == x509.issuer_of(second)
    assert x509.matches(second, secret)
    with pytest.raises(AlreadyExists, match="reader bob has a certificate"):
        cloud.client.call("IssueCertificate", **{**fields, "request": x509.request(x509.new_key()).decode()})
    cloud.client.call("RevokeCertificate", name="bob", role="reader")
    with pytest.raises(InvalidRequest, match="this key of reader bob was revoked"):
        cloud.client.call("IssueCertificate", **fields)
    assert not [row for row in cloud.client.pages("ListCertificates", "certificates") if row["name"] == "bob"]
    cloud.client.call("IssueCertificate", **{**fields, "request": x509.request(x509.new_key()).decode()})


def test_a_key_that_was_revoked(cloud: ControlHost, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Is not kept: the next time there is another one."""
    monkeypatch.chdir(tmp_path)
    unknown(monkeypatch)
    command = ("certificate", "create", "alice", "--role", "operator")
    cloud.ovnhook(*command)
    cloud.client.call("RevokeCertificate", name="alice", role="operator")
    assert cloud.ovnhook(*command).status == 2
    assert list(tmp_path.iterdir()) == []
    assert cloud.ovnhook(*command).status == 0


def test_errors_of_certificates() -> None:
    """Those after which a key is kept are those after which nobody knows."""
    assert not any(issubclass(Unavailable, kind) for kind in certificate._REFUSED)
    assert keyfiles.SECRET == 0o600
