"""The databases by TLS as the how-to says, on a machine that boots: ovn-controller, agent and hook by certificate."""

from __future__ import annotations

from tests.packages.guests import address, start
from tests.packages.hosts import set_up
from tests.packages.machine import Machine, packages

NEW = "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
CERTIFICATES = f"""
mkdir -p /etc/ovnhook && cd /etc/ovnhook && umask 077
{NEW} -x509 -days 30 -subj '/CN=ovnhook CA' -keyout ca.key -out ca.pem
for name in control hv1; do
    {NEW} -subj /CN=$name -keyout $name.key -out $name.csr
    openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -days 30 -out $name.pem
done
"""
SERVER = """
[Service]
ExecStart=
ExecStart=/usr/share/ovn/scripts/ovn-ctl run_nb_ovsdb $OVN_CTL_OPTS --db-nb-use-remote-in-db=no \
 --ovn-nb-db-ssl-key=/etc/ovnhook/control.key --ovn-nb-db-ssl-cert=/etc/ovnhook/control.pem \
 --ovn-nb-db-ssl-ca-cert=/etc/ovnhook/ca.pem \
 -- --remote=pssl:6641 --ssl-protocols=TLSv1.2 --ssl-ciphers=HIGH:!aNULL:!MD5
"""
PROTECT = """
systemctl daemon-reload
systemctl restart ovn-ovsdb-server-nb
ovn-sbctl set-ssl /etc/ovnhook/control.key /etc/ovnhook/control.pem /etc/ovnhook/ca.pem
ovn-sbctl set-connection role=ovn-controller pssl:6642
ovs-vsctl set-ssl /etc/ovnhook/hv1.key /etc/ovnhook/hv1.pem /etc/ovnhook/ca.pem
ovs-vsctl set open . external_ids:ovn-remote=ssl:127.0.0.1:6642
systemctl restart ovnhook-agent
"""
CONFIGURATION = """
northbound = "ssl:127.0.0.1:6641"
database_certificate = "/etc/ovnhook/hv1.pem"
database_private_key = "/etc/ovnhook/hv1.key"
database_ca = "/etc/ovnhook/ca.pem"
"""


def test_all_by_certificate(machine: Machine) -> None:
    """A guest has its network, and the agent is heard; without a certificate nobody is served."""
    set_up(machine, "hv1", packages())
    machine.run("ovnhook node init --all-in-one")
    machine.run(CERTIFICATES)
    machine.path("/etc/ovnhook/ovnhook.toml").write_text(CONFIGURATION)
    told = "journalctl -u ovnhook-agent | grep -c 'reported uplinks down: none'"
    machine.wait_for(lambda: int(machine.run(told, check=False)) == 1, "the agent to tell of the host")
    folder = machine.path("/etc/systemd/system/ovn-ovsdb-server-nb.service.d")
    folder.mkdir()
    (folder / "tls.conf").write_text(SERVER)
    machine.run(PROTECT)
    machine.wait_for(lambda: int(machine.run(told, check=False)) == 2, "the agent to tell of it by TLS")

    start(machine)
    assert address(machine) in machine.run("ovnhook lease list")
    machine.wait_for(lambda: "ok" in machine.run("ovnhook status", check=False).split(), "all to be well")
    connected = machine.run("ss -Htn state established dst 127.0.0.1")
    assert {":6641", ":6642"} <= {f":{word.rpartition(':')[2]}" for word in connected.split()}
    for port in (6641, 6642):
        machine.run(f"! ovsdb-client --timeout=5 list-dbs tcp:127.0.0.1:{port}")
        machine.run(f"! ovsdb-client --timeout=5 list-dbs ssl:127.0.0.1:{port} --ca-cert=/etc/ovnhook/ca.pem")
    northbound = (
        "ovn-nbctl --db=ssl:127.0.0.1:6641 -p /etc/ovnhook/hv1.key -c /etc/ovnhook/hv1.pem -C /etc/ovnhook/ca.pem"
    )
    machine.run("touch /root/victim")
    machine.run(f"{northbound} set-connection punix:/root/victim -- set-ssl /a /b /c")
    machine.run(f"{northbound} ls-list; test -f /root/victim")
