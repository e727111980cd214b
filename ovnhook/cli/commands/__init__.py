"""The commands, a file for each noun."""

from __future__ import annotations

import click

from ovnhook.cli.commands import (
    certificate,
    check,
    control,
    floating_ip,
    lease,
    node,
    port,
    router,
    security_group,
    status,
    subnet,
)

COMMANDS: tuple[click.Command, ...] = (
    subnet.subnet,
    lease.lease,
    port.port,
    router.router,
    security_group.security_group,
    floating_ip.floating_ip,
    node.node,
    control.control,
    certificate.certificate,
    status.status,
    check.check,
)
"""Every command below ``ovnhook``."""
