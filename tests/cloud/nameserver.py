"""A name server outside the cloud, as a program."""

from __future__ import annotations

SERVER = """#!/usr/bin/python3 -IS
import socket, socketserver, threading

# Knows www.example.org and nothing else (RFC 1035, section 4), by UDP and TCP.
def answer(query):
    question = query[12:query.index(b"\\0", 12) + 5]
    known = question.lower().startswith(b"\\3www\\7example\\3org\\0")
    asks_for_address = question[-4:-2] == b"\\0\\1"
    print(question, flush=True)
    answer = b"\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\x3c\\0\\4" + bytes([192, 0, 2, 53])
    answer *= known and asks_for_address
    head = query[:2] + (b"\\x81\\x80" if known else b"\\x81\\x83") + b"\\0\\1\\0" + bytes([bool(answer)]) + bytes(4)
    return head + question + answer

class Stream(socketserver.StreamRequestHandler):
    def handle(self):
        while length := self.rfile.read(2):
            found = answer(self.rfile.read(int.from_bytes(length, "big")))
            self.wfile.write(len(found).to_bytes(2, "big") + found)

socketserver.ThreadingTCPServer.allow_reuse_address = True
tcp = socketserver.ThreadingTCPServer(("", 53), Stream)
threading.Thread(target=tcp.serve_forever, daemon=True).start()
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("", 53))
print("serving", flush=True)
while True:
    query, client = server.recvfrom(4096)
    server.sendto(answer(query), client)
"""
