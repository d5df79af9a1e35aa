"""Calls of gRPC, as a stranger could write them: HTTP/2 by hand, without a library that knows any token."""

import re
import socket
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS = 0, 1, 4
END_STREAM, END_HEADERS = 1, 4
OK, UNAUTHENTICATED = 0, 16
STATUS = re.compile(rb"grpc-status.(\d+)", re.DOTALL)


def call(port: int, method: str, token: str = "") -> int | None:
    """The status of a call without content to this machine; None of a server that does not speak gRPC."""
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": f"/ray.rpc.{method}",
        ":authority": "localhost",
        "content-type": "application/grpc",
        "te": "trailers",
    }
    if token:
        headers["authorization"] = f"Bearer {token}"
    # Each as a literal with its length before it, which HTTP/2 allows.
    packed = b"".join(
        b"\0" + b"".join(bytes([len(text)]) + text.encode() for text in header) for header in headers.items()
    )
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(
            PREFACE
            + _frame(SETTINGS, 0, 0, b"")
            + _frame(HEADERS, END_HEADERS, 1, packed)
            + _frame(DATA, END_STREAM, 1, bytes(5))
        )
        got = b""
        while block := connection.recv(4096):
            got += block
            if got.startswith(b"HTTP/1"):
                return None
            if found := STATUS.search(got):
                return int(found[1])
    return None


def _frame(kind: int, flags: int, stream: int, data: bytes) -> bytes:
    return struct.pack(">I", len(data))[1:] + struct.pack(">BBI", kind, flags, stream) + data
