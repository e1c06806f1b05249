"""A WebSocket client that sends exactly the frames it is told to, and shows what really came back."""

from __future__ import annotations

import struct
from typing import ClassVar, NamedTuple

from tests.integration.helpers import Connection, Response, Server

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
FIN, RSV1 = 0x80, 0x40
_MASK = b"\x12\x34\x56\x78"


class Frame(NamedTuple):
    """One frame of the server's."""

    first: int  # FIN, RSV and opcode
    payload: bytes

    @property
    def close(self) -> tuple[int, str]:
        """Code and reason of a close frame."""
        assert self.first == FIN | CLOSE, self
        return struct.unpack("!H", self.payload[:2])[0], self.payload[2:].decode()


class Client:
    """One WebSocket; `opened` holds those that nobody has closed yet."""

    opened: ClassVar[list[Client]] = []

    def __init__(self, server: Server, path: str, *fields: str, method: str = "GET", version: str = "13") -> None:
        self.connection: Connection = server.connect()
        self.opened.append(self)
        lines = [
            f"{method} {path} HTTP/1.1", "Host: x", "Upgrade: websocket", "Connection: keep-alive, Upgrade",
            f"Sec-WebSocket-Key: {KEY}", f"Sec-WebSocket-Version: {version}", *fields, "", "",
        ]  # fmt: skip
        self.connection.send("\r\n".join(lines).encode())

    def handshake(self) -> Response:
        """The answer to it."""
        return self.connection.response()

    def open(self) -> Client:
        """Expect to be accepted."""
        assert self.handshake().status == 101
        return self

    def send(self, first: int, payload: bytes = b"", *, masked: bool = True) -> None:
        """One frame."""
        length = len(payload)
        if length < 126:
            head = bytes([first, length | 0x80 * masked])
        elif length < 65536:
            head = bytes([first, 126 | 0x80 * masked]) + struct.pack("!H", length)
        else:
            head = bytes([first, 127 | 0x80 * masked]) + struct.pack("!Q", length)
        if masked:
            pad = _MASK * (length // 4 + 1)
            payload = bytes(a ^ b for a, b in zip(payload, pad, strict=False))
            head += _MASK
        self.connection.send(head + payload)

    def text(self, text: str) -> None:
        """A text in one frame."""
        self.send(FIN | TEXT, text.encode())

    def read(self) -> Frame:
        """The next frame."""
        first, second = self.connection._exactly(2)
        assert second < 128, "a server does not mask"
        if second == 126:
            (second,) = struct.unpack("!H", self.connection._exactly(2))
        elif second == 127:
            (second,) = struct.unpack("!Q", self.connection._exactly(8))
        return Frame(first, self.connection._exactly(second))

    def close(self) -> None:
        """Let go without a word."""
        self.connection.close()
