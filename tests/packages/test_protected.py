"""Databases and control service by TLS as the how-to says, on a machine that boots: by certificate alone."""

from __future__ import annotations

from tests.packages.guests import address, start
from tests.packages.hosts import set_up
from tests.packages.machine import Machine, packages
from tests.packages.northbound import ways

NEW = "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
CERTIFICATES = f"""
mkdir -p /etc/ovnhook && cd /etc/ovnhook && umask 077
{NEW} -x509 -days 30 -subj '/CN=ovnhook CA' -keyout ca.key -out ca.pem
for name in control hv1; do
    role=node; [ $name = hv1 ] || role=control  # the name counts for a control host only
    {NEW} -subj /OU=$role/CN=$name -addext subjectAltName=DNS:ovnhook-control -keyout $name.key -out $name.csr
    openssl x509 -req -in $name.csr -copy_extensions copy -CA ca.pem -CAkey ca.key -days 30 -out $name.pem
done
"""
PROTECT = """
ovn-nbctl del-connection
ovn-sbctl set-ssl /etc/ovnhook/control.key /etc/ovnhook/control.pem /etc/ovnhook/ca.pem
ovn-sbctl set-connection role=ovn-controller pssl:6642
systemctl restart ovnhook-control
ovs-vsctl set-ssl /etc/ovnhook/hv1.key /etc/ovnhook/hv1.pem /etc/ovnhook/ca.pem
ovs-vsctl set open . external_ids:ovn-remote=ssl:127.0.0.1:6642
systemctl restart ovnhook-agent
"""
CONFIGURATION = """
listen = "0.0.0.0:6645"
certificate = "/etc/ovnhook/control.pem"
private_key = "/etc/ovnhook/control.key"
ca = "/etc/ovnhook/ca.pem"

control = "127.0.0.1:6645"
database_certificate = "/etc/ovnhook/hv1.pem"
database_private_key = "/etc/ovnhook/hv1.key"
database_ca = "/etc/ovnhook/ca.pem"
"""


def test_all_by_certificate(machine: Machine) -> None:
    """A guest has its network, and the agent is heard; without a certificate nobody is served."""
    set_up(machine, "hv1", packages())
    machine.run("ovnhook node init --all-in-one --no-external")
    machine.run("ovn-nbctl set-connection ptcp:6641:127.0.0.1")  # as an existing OVN may have it
    machine.run(CERTIFICATES)
    machine.path("/etc/ovnhook/ovnhook.toml").write_text(CONFIGURATION)
    machine.run(PROTECT)
    start(machine)
    assert address(machine) in machine.run("ovnhook lease list")
    machine.wait_for(lambda: "ok" in machine.run("ovnhook status", check=False).split(), "all to be well")
    connected = machine.run("ss -Htn state established dst 127.0.0.1")
    assert {":6642", ":6645"} <= {f":{word.rpartition(':')[2]}" for word in connected.split()}
    for port in (6642, 6645):
        machine.run(f"! ovsdb-client --timeout=5 list-dbs tcp:127.0.0.1:{port}")
        machine.run(f"! ovsdb-client --timeout=5 list-dbs ssl:127.0.0.1:{port} --ca-cert=/etc/ovnhook/ca.pem")
    assert ways(machine, ["127.0.0.1"]) == {"unix:/run/ovn/ovnnb_db.sock"}
