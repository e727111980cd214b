"""Permissions of the roles, from the rules of the services."""

from __future__ import annotations

from ovnhook.control.roles import CHANGES_OF_A_HOST, MIGRATES_TO_A_HOST, OWN, WATCHES_A_HOST, Rule
from ovnhook.control.services import JOINING, SERVICES
from ovnhook.pki.x509 import CONTROL, NODE, OPERATOR, READER
from reference.part import table

_ROLES = (READER, NODE, OPERATOR, CONTROL)


def methods() -> str:
    """A table of all methods, with the roles that may call each."""
    return table(
        ("service", "method", *_ROLES),
        (
            (service.NAME.rpartition(".")[2], f"`{method}`", *(_allowed(role, rule) for role in _ROLES))
            for service in (*SERVICES, JOINING)
            for method, rule in service.RULES.items()
        ),
    )


def _allowed(role: str, rule: Rule) -> str:
    if role not in rule.roles:
        return ""
    if rule is OWN:
        return "its own"
    return "its own host" if rule in (CHANGES_OF_A_HOST, WATCHES_A_HOST, MIGRATES_TO_A_HOST) and role == NODE else "yes"
