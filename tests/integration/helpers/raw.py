"""A client that sends exactly the bytes it is told to, and reads what really came back.

HTTP libraries repair what they send and what they get; a test of a server's framing must not.
"""

from __future__ import annotations

import socket
from types import TracebackType
from typing import NamedTuple

_READ = 65536


class Response(NamedTuple):
    """One response as it stood on the wire; the body is unframed."""

    version: str
    status: int
    reason: str
    fields: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The only field of that name, or None; several of them are a failure."""
        values = [value for key, value in self.fields if key.lower() == name.lower()]
        assert len(values) <= 1, f"{name} is there {len(values)} times: {values}"
        return values[0] if values else None


class Connection:
    """One socket. Reads fail with TimeoutError after the socket's timeout."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._buffer = bytearray()  # read, and not yet part of a returned response

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self.sock.close()

    def reset(self) -> None:
        """Close with RST instead of FIN: what a killed client looks like."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()

    def send(self, data: bytes) -> None:
        """Send all of `data`."""
        self.sock.sendall(data)

    def request(self, data: bytes, *, head: bool = False) -> Response:
        """Send `data` and read one response."""
        self.send(data)
        return self.response(head=head)

    def response(self, *, head: bool = False) -> Response:
        """Read the next response; `head` says that its request was HEAD, so it has no body."""
        version, status, reason = self._line().split(" ", 2)
        fields = []
        while line := self._line():
            name, _, value = line.partition(":")
            fields.append((name, value.strip(" \t")))
        partial = Response(version, int(status), reason, fields, b"")
        bodiless = head or status[0] == "1" or status in ("204", "304")
        return partial if bodiless else partial._replace(body=self._body(partial))

    def read_all(self) -> bytes:
        """Everything until the server closes."""
        while self._fill():
            pass
        data, self._buffer = bytes(self._buffer), bytearray()
        return data

    def read_until(self, mark: bytes) -> bytes:
        """Everything up to `mark`, and it."""
        while (end := self._buffer.find(mark)) < 0:
            self._more()
        return self._exactly(end + len(mark))

    def is_closed(self) -> bool:
        """Wait for the server's end of the connection; False when a byte comes instead."""
        return not self._buffer and not self._fill()

    def _body(self, response: Response) -> bytes:
        if (response.header("Transfer-Encoding") or "").lower() == "chunked":
            return self._chunks()
        if (length := response.header("Content-Length")) is not None:
            return self._exactly(int(length))
        return self.read_all()

    def _chunks(self) -> bytes:
        body = bytearray()
        while size := int(self._line().partition(";")[0], 16):
            body += self._exactly(size)
            assert self._line() == "", "a chunk must end with CRLF"
        while self._line():  # trailers
            pass
        return bytes(body)

    def _line(self) -> str:
        while (end := self._buffer.find(b"\r\n")) < 0:
            self._more()
        line = self._buffer[:end].decode("latin-1")
        del self._buffer[: end + 2]
        return line

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._more()
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    def _more(self) -> None:
        if not self._fill():
            raise EOFError(f"the server closed after {bytes(self._buffer)!r}")

    def _fill(self) -> bool:
        data = self.sock.recv(_READ)
        self._buffer += data
        return bool(data)


def free_port() -> int:
    """A TCP port of 127.0.0.1 that no process has now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
