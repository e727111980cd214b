"""A server on port 7 that tells each client the address that it comes from, and ends the connection."""

from __future__ import annotations

import socket
import socketserver


class PeerAddress(socketserver.BaseRequestHandler):
    """A connection of a client."""

    def handle(self) -> None:
        """Tell the client its address."""
        self.request.sendall(self.client_address[0].removeprefix("::ffff:").encode() + b"\n")


class DualStackServer(socketserver.ThreadingTCPServer):
    """A server for IPv4 and IPv6 on one socket."""

    address_family = socket.AF_INET6
    allow_reuse_address = True


if __name__ == "__main__":
    with DualStackServer(("::", 7), PeerAddress) as server:
        server.serve_forever()
