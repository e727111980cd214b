"""Changes of this host's network that concern the link to routers, from the kernel (rtnetlink(7))."""

from __future__ import annotations

import errno
import logging
import os
import select
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterable, Iterator

_log = logging.getLogger(__name__)

_ADD_MEMBERSHIP = 1  # NETLINK_ADD_MEMBERSHIP; option level:
_SOL_NETLINK = 270
_NETFILTER = 12  # NETLINK_NETFILTER, family of nftables' events
_NFTABLES = 7  # NFNLGRP_NFTABLES
_IPV4_ADDRESS, _IPV4_ROUTE, _IPV6_ADDRESS, _IPV6_ROUTE, _IPV4_SETTINGS, _IPV6_SETTINGS = 5, 7, 9, 11, 24, 25
_GROUPS = (_IPV4_ADDRESS, _IPV4_ROUTE, _IPV6_ADDRESS, _IPV6_ROUTE, _IPV4_SETTINGS, _IPV6_SETTINGS)

_NEW_ADDRESS, _DEL_ADDRESS, _NEW_ROUTE, _DEL_ROUTE, _NEW_SETTINGS = 20, 21, 24, 25, 80
_LINK_SCOPE = 253  # RT_SCOPE_LINK
_MAIN_TABLE = 254  # RT_TABLE_MAIN
_DESTINATION = 1  # RTA_DST
_INTERFACE = 1  # NETCONFA_IFINDEX
_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr
_ATTRIBUTE = struct.Struct("=HH")
_BUFFER = 65536


class NetworkEvents:
    """Sockets that receive the kernel's messages. Only `wake` may be called by other threads.

    Args:
        table: name of our nftables table.
        is_own: tests the index of an interface whose settings matter; negative ones stand for all interfaces.
    """

    def __init__(self, table: str, is_own: Callable[[int], bool]) -> None:
        self._table = f"{table}\0".encode()
        self._is_own = is_own
        self._network = _socket(socket.NETLINK_ROUTE, _GROUPS)
        self._filter = _filter_socket()
        self._woken = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def wait(self, timeout: float) -> None:
        """Wait for a change that matters, or for `wake`.

        Args:
            timeout: in seconds.
        """
        poll = select.poll()
        for one in (self._network, self._filter, self._woken):
            if one is not None:
                poll.register(one, select.POLLIN)
        end = time.monotonic() + timeout
        while (left := end - time.monotonic()) > 0:
            poll.poll(left * 1000)
            changed = [relevant(one, self._is_own) for one in _received(self._network)]
            changed += [self._table in one for one in _received(self._filter)] if self._filter else []
            if self._is_woken() or any(changed):
                return

    def wake(self) -> None:
        """End `wait`."""
        os.eventfd_write(self._woken, 1)

    def close(self) -> None:
        """Close the sockets."""
        self._network.close()
        if self._filter:
            self._filter.close()
        os.close(self._woken)

    def _is_woken(self) -> bool:
        try:
            return bool(os.eventfd_read(self._woken))
        except BlockingIOError:
            return False


def relevant(message: bytes, is_own: Callable[[int], bool]) -> bool:
    """Test whether messages of rtnetlink(7), as read at once, may concern the link.

    Not those of guests' interfaces, which have link-local addresses: a start of a domain causes nothing.

    Args:
        message: as it was read; "" stands for messages that were lost.
        is_own: see NetworkEvents.
    """
    if not message:
        return True
    while len(message) >= _HEADER.size:
        length, kind, *_ = _HEADER.unpack_from(message)
        body, message = message[_HEADER.size : length], message[max(_HEADER.size, (length + 3) & ~3) :]
        if kind in (_NEW_ADDRESS, _DEL_ADDRESS) and body[3] != _LINK_SCOPE:  # struct ifaddrmsg
            return True
        if kind in (_NEW_ROUTE, _DEL_ROUTE) and body[4] == _MAIN_TABLE:  # struct rtmsg
            destination = _attribute(body[12:], _DESTINATION)
            if not (body[0] == socket.AF_INET6 and destination[:1] in (b"\xfe", b"\xff")):
                return True
        if kind == _NEW_SETTINGS and is_own(
            int.from_bytes(_attribute(body[4:], _INTERFACE), sys.byteorder, signed=True)
        ):
            return True
    return False


def _attribute(body: bytes, wanted: int) -> bytes:
    """Value of an attribute, or "" without it."""
    while len(body) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(body)
        if kind == wanted:
            return body[_ATTRIBUTE.size : length]
        body = body[max(_ATTRIBUTE.size, (length + 3) & ~3) :]
    return b""


def _socket(family: int, groups: Iterable[int]) -> socket.socket:
    found = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, family)
    found.bind((0, 0))
    for group in groups:
        found.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
    return found


def _filter_socket() -> socket.socket | None:
    """Socket for changes of nftables; None without the kernel's support, or the right to it: they are seen later."""
    try:
        return _socket(_NETFILTER, (_NFTABLES,))
    except OSError as error:
        _log.info("no events of nftables: %s", error)
        return None


def _received(source: socket.socket) -> Iterator[bytes]:
    """Messages that have arrived; "" for those that were lost because there were too many."""
    while True:
        try:
            yield source.recv(_BUFFER)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            yield b""
