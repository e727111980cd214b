"""Clients of the control service with a certificate of each role, and how they are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import pytest

from tests.database.control_service import Control
from tests.database.openssl import OpensslAuthority

DENIED = "PERMISSION_DENIED"
NIC = "52:54:00:00:00:0a"


class Clients:
    """Clients with certificates, of a service beside the one on the unix socket.

    Args:
        control: that one, which has the same databases.
        authority: signs.
        address: where the service is.
    """

    def __init__(self, control: Control, authority: OpensslAuthority, address: str) -> None:
        self.control = control
        self._authority = authority
        self._address = address
        self._opened: list[grpc.Channel] = []

    def channel(self, name: str, role: str) -> grpc.Channel:
        """One's that has a certificate of that name and role."""
        certificate, key = self._authority.sign(name, role)
        ca = self._authority.certificate.read_bytes()
        credentials = grpc.ssl_channel_credentials(ca, key.read_bytes(), certificate.read_bytes())
        self._opened.append(grpc.secure_channel(self._address, credentials))
        return self._opened[-1]

    def close(self) -> None:
        """End them."""
        for channel in self._opened:
            channel.close()


def refusal(answer: Callable[[], Any]) -> tuple[str, str]:
    """What is said of a call that one may not make, and what one may do."""
    with pytest.raises(grpc.RpcError) as refused:
        answer()
    assert refused.value.code().name == DENIED
    hints = [value for key, value in refused.value.trailing_metadata() if key == "ovnhook-hint"]
    return refused.value.details(), *hints
