"""Who may call what: every method has a rule, and what a rule says is what happens."""

from __future__ import annotations

import pytest

from ovnhook.base.errors import PermissionDenied
from ovnhook.control.roles import CHANGES_OF_A_HOST, LOCAL, NOBODY, READS, check_host
from ovnhook.pki.x509 import CONTROL, NODE, OPERATOR, READER, ROLES, Subject
from tests.methods import OWN, READING, RULES, STANDARD


def test_every_method_has_a_rule() -> None:
    """And there is none for what doesn't exist: a name that is misspelt would be one."""
    assert RULES.keys() == OWN.keys() | STANDARD.keys()


def test_who_reads_may_only_read() -> None:
    """By the methods' names; everybody may, but for what agents alone need.

    And he may renew what lets him in, and anybody may join who has a token.
    """
    assert {method for method, rule in RULES.items() if READER in rule.roles} == {
        *(method for method in OWN | STANDARD if READING.fullmatch(method) and "Agents/" not in method),
        "/ovnhook.v1.Certificates/RenewCertificate",
        "/ovnhook.v1.Enrolment/Enrol",
    }
    assert READS.roles == set(ROLES)


def test_what_a_node_may_change_is_told_of_it() -> None:
    """A method that lets nodes in and does not know which one calls would let it act for any host."""
    assert all(rule.passes_caller for rule in RULES.values() if NODE in rule.roles and READER not in rule.roles)


def test_operators_and_control_hosts_may_do_everything() -> None:
    """Those, and who is on the control host as root."""
    assert all({OPERATOR, CONTROL} <= rule.roles for rule in RULES.values())
    assert LOCAL.role == OPERATOR


@pytest.mark.parametrize("role", ROLES)
def test_without_a_rule(role: str) -> None:
    """Nobody may call."""
    with pytest.raises(PermissionDenied, match="^operator ann may not call x.Y/Z$" if role == OPERATOR else "Y/Z$"):
        NOBODY.check(Subject("ann", role), "/x.Y/Z")


def test_a_role_that_may_not() -> None:
    """It is told who asked for what, and which certificate may."""
    with pytest.raises(PermissionDenied) as refused:
        CHANGES_OF_A_HOST.check(Subject("ann", READER), "/ovnhook.v1.Ports/DeletePort")
    assert refused.value.message == "reader ann may not call ovnhook.v1.Ports/DeletePort"
    assert refused.value.hint == "requires a certificate with OU control or node or operator"


@pytest.mark.parametrize("host", ["hv2", "", "HV1", "hv1 "])
def test_a_host_that_is_not_the_nodes(host: str) -> None:
    """A node has its own alone, to the letter; others have all."""
    check_host(Subject("hv1", NODE), "hv1")
    check_host(Subject("hv1", OPERATOR), host)
    check_host(Subject("hv1", CONTROL), host)
    with pytest.raises(PermissionDenied) as refused:
        check_host(Subject("hv1", NODE), host)
    assert refused.value.message == " ".join(f"node hv1 may not change ports of host '{host}'".split())
