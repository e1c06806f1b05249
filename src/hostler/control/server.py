"""The arbiter's end: takes one line from each client, and gives one answer.

Nothing here waits: what a client does or fails to do costs it its own connection, after `PATIENCE`.
Question and answer are a line of JSON each; a question has at most `LINE` bytes: {"ask": ["scale", "4"]}. The answer is
{"ok": true, "answer": ...}, a text or an object, or {"ok": false, "error": "..."}; then the connection is closed.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import time
from math import inf
from typing import NamedTuple

from hostler.control.paths import candidates, chosen_name, own_name, shown
from hostler.errors import BindError
from hostler.logs import Logs
from hostler.proc.owners import unix_owner
from hostler.proc.poll import Poll

__all__ = ["Client", "ControlServer", "Question"]

LINE = 1024
# How long a client may take for its question, and for taking its answer, in seconds.
PATIENCE = 10.0
# What a client may take for its answer when the server ends, in seconds.
_LAST_ANSWER = 0.5
# From one look at the socket's file to the next.
_LOOK_EVERY = 0.9
# At once; who comes beyond them is turned away.
MOST = 16


class Client:
    """One connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.received = b""
        self.answer: memoryview | None = None  # what is left of it
        self.due = time.monotonic() + PATIENCE


class Question(NamedTuple):
    """What a client asks; to be answered by `ControlServer.answer`."""

    client: Client
    words: list[str]


class ControlServer:
    """The socket and its clients, for the arbiter's poll loop."""

    def __init__(self, option: str | None, logs: Logs) -> None:
        self._option = option  # "auto", a path, or None: no socket
        self._logs = logs
        self._path = ""
        self._inode: tuple[int, int] | None = None
        self._socket: socket.socket | None = None
        self._clients: dict[int, Client] = {}
        self._look_at = 0.0  # when to look whether the file is there still

    def open(self, poll: Poll) -> None:
        """Listen. A name that another server has is a BindError; whatever else is in the way is a warning."""
        self._poll = poll
        if self._option is None:
            return
        try:
            if self._option == "auto":
                _remove_stale()
                self._path = own_name(os.getpid())
            else:
                self._path = chosen_name(self._option)
            self._listen()
        except OSError as error:
            reason = error.strerror or str(error)
            self._logs.warning(f"no control socket ({self._option}), so nobody can ask this server: {reason}")

    @property
    def _is_abstract(self) -> bool:
        return self._path.startswith("\0")

    @property
    def has_own_name(self) -> bool:
        """Whether the name is nobody else's, as it has our process id in it."""
        return self._option == "auto"

    def heal(self) -> None:
        """Make the socket again when its file is gone: cleaners of /tmp delete what is old."""
        self._look_at = time.monotonic() + _LOOK_EVERY
        if self._socket is None or self._is_abstract or _inode(self._path) == self._inode:
            return
        self._forget_socket()
        try:
            if self._option == "auto":
                self._path = own_name(os.getpid())
            self._listen()
            self._logs.info(f"the control socket {self._path} was deleted: it is there again")
        except (OSError, BindError) as error:
            self._logs.warning(f"the control socket {self._path} was deleted and cannot be made: {error}")

    def take(self, ready: set[int]) -> list[Question]:
        """Do what can be done with these descriptors; returns new questions."""
        if self._socket is not None and self._socket.fileno() in ready:
            self._accept()
        found = [self._read_or_write(client) for fd, client in list(self._clients.items()) if fd in ready]
        return [question for question in found if question]

    def answer(self, client: Client, answer: object, is_error: bool = False) -> None:
        """Answer a question, with a text or what JSON can say, as fast as the client takes it."""
        if self._clients.get(client.sock.fileno()) is not client:
            return  # it did not wait for us
        import json  # for those who ask

        said = {"ok": False, "error": answer} if is_error else {"ok": True, "answer": answer}
        client.answer = memoryview(json.dumps(said).encode() + b"\n")
        client.due = time.monotonic() + PATIENCE
        self._poll.register(client.sock, select.POLLOUT)

    def wait(self, client: Client) -> None:
        """The answer takes as long as it takes; a client that does not wait for it is noticed."""
        client.due = inf

    def deadline(self) -> float | None:
        """When `expire` has to be called."""
        dues = [client.due for client in self._clients.values() if client.due < inf]
        if self._socket is not None and not self._is_abstract:
            dues.append(self._look_at)
        return min(dues, default=None)

    def expire(self, now: float) -> None:
        """Close the connections of clients that take too long, and look after the socket's file."""
        if self._socket is not None and not self._is_abstract and now >= self._look_at:
            self.heal()
        for client in [client for client in self._clients.values() if client.due <= now]:
            self._drop(client)

    def close(self) -> None:
        """In the arbiter: send the answers that are left, close all, remove the file."""
        for client in self._clients.values():
            if client.answer:
                try:
                    client.sock.settimeout(_LAST_ANSWER)
                    client.sock.sendall(client.answer)
                except OSError:  # it did not wait for us
                    pass
        path, inode = self._path, self._inode
        self.abandon()
        if inode is not None and _inode(path) == inode:
            _unlink(path)

    def leave(self) -> None:
        """Take no more questions, and make room for another server's socket; those that were asked are answered."""
        if self._socket is not None:
            self._forget_socket()
            if self._inode is not None and _inode(self._path) == self._inode:
                _unlink(self._path)

    def abandon(self) -> None:
        """In a forked child: close the descriptors."""
        for client in self._clients.values():
            client.sock.close()
        self._clients.clear()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _listen(self) -> None:
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.setblocking(False)
            mask = os.umask(0o177)  # nobody may connect before the mode is set; who asks is looked at, too
            try:
                self._bind(sock)
            finally:
                os.umask(mask)
            sock.listen(MOST)
        except OSError:
            sock.close()
            raise
        self._socket = sock
        self._inode = None if self._is_abstract else _inode(self._path)
        self._look_at = time.monotonic() + _LOOK_EVERY
        self._poll.register(sock)

    def _bind(self, sock: socket.socket) -> None:
        try:
            sock.bind(self._path)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            if self._is_abstract or _answers(self._path):
                owner = unix_owner(self._path) or "another process"
                problem = f"{owner} listens there already"
                if self._option == "auto":  # our own process id is in the name: that is no second instance
                    raise OSError(f"{shown(self._path)}: {problem}") from None
                raise BindError(f"control {shown(self._path)}: {problem}") from None
            _unlink(self._path)  # of a server that was killed
            sock.bind(self._path)

    def _forget_socket(self) -> None:
        if self._socket is not None:
            self._poll.forget(self._socket)
            self._socket.close()
            self._socket = None

    def _accept(self) -> None:
        assert self._socket is not None
        try:
            sock, _ = self._socket.accept()
        except OSError:  # it left, or there are no descriptors
            return
        sock.setblocking(False)
        if len(self._clients) >= MOST or _uid(sock) not in (0, os.geteuid()):
            sock.close()
            return
        self._clients[sock.fileno()] = Client(sock)
        self._poll.register(sock)

    def _read_or_write(self, client: Client) -> Question | None:
        try:
            if client.answer is not None:
                client.answer = client.answer[client.sock.send(client.answer) :]
                if not client.answer:
                    self._drop(client)
                return None
            chunk = client.sock.recv(LINE)
        except BlockingIOError:
            return None
        except OSError:
            chunk = b""
        client.received += chunk
        line, end, _ = client.received.partition(b"\n")
        if not chunk or len(line) > LINE:
            self._drop(client)
            return None
        if not end:
            return None
        self._poll.register(client.sock, 0)
        words = _words(line)
        if words is None:
            self.answer(client, 'not a question: {"ask": ["status"]} is one', is_error=True)
            return None
        return Question(client, words)

    def _drop(self, client: Client) -> None:
        del self._clients[client.sock.fileno()]
        self._poll.forget(client.sock)
        client.sock.close()


def _words(line: bytes) -> list[str] | None:
    """What is asked; None when it cannot be read."""
    import json

    try:
        words = json.loads(line)["ask"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    is_list = isinstance(words, list) and words and all(isinstance(word, str) for word in words)
    return words if is_list else None


def _uid(sock: socket.socket) -> int:
    """Who is at the other end (unix(7), SO_PEERCRED)."""
    if not hasattr(socket, "SO_PEERCRED"):
        return os.geteuid()  # the file's mode has let nobody else in
    _, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return int(uid)


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(1)
        try:
            sock.connect(path)
        except OSError:
            return False
        return True


def _remove_stale() -> None:
    """Remove the sockets of servers that were killed, where they are files."""
    for pid, path in candidates().items():
        if pid != os.getpid() and not path.startswith("\0") and not _answers(path):
            _unlink(path)


def _inode(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass
