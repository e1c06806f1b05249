"""The arbiter's end: takes one line from each client, and gives one answer.

Nothing here waits: what a client does or fails to do costs it its own connection, after `PATIENCE`. Clients of other
users than our own and root are turned away when they are accepted. When there are too many others, the oldest that has
asked nothing yet makes room, so that idle ones keep none out.
Question and answer are a line of JSON each; a question has at most `LINE` bytes: {"ask": ["scale", "4"]}. The answer is
{"ok": true, "answer": ...}, a text or an object, or {"ok": false, "error": "..."}; then the connection is closed.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from math import inf
from typing import NamedTuple

from hostler.control.paths import HAS_ABSTRACT, candidates, chosen_name, own_name, own_path, shown
from hostler.errors import BindError
from hostler.logs import Logs
from hostler.proc import trusted, unix
from hostler.proc.owners import Owner, unix_owner
from hostler.proc.poll import Poll

__all__ = ["Client", "ControlServer", "Question"]

LINE = 1024
# How long a client may take for its question, and for taking its answer, in seconds.
PATIENCE = 10.0
# What clients may take for their answers when the server ends, all together, in seconds.
_LAST_ANSWERS = 0.5
# From one look at the socket's file to the next.
_LOOK_EVERY = 0.9
# So many clients at once may not have asked yet, and so many may there be at all.
MOST_SILENT, MOST = 16, 64
# So many are accepted in one turn of the arbiter's loop, and wait for it in the kernel.
_AT_ONCE, _BACKLOG = 16, 128


class Client:
    """One connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.received = b""
        self.has_asked = False
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
                self._take_own_name()
            else:
                self._path = chosen_name(self._option)
                self._listen()
        except OSError as error:
            reason = error.strerror or str(error)
            self._logs.warning("no control socket; this server cannot be asked", control=self._option, reason=reason)

    def _take_own_name(self) -> None:
        """Listen on the abstract name of this process, or on a file; OSError. No second instance can have either."""
        _remove_stale()
        taken = ""
        if HAS_ABSTRACT:
            self._path = own_name(os.getpid())
            try:
                self._listen()
                return
            except BindError as error:
                taken = error.message
        self._path = own_path(os.getpid())
        if taken:
            self._logs.warning("control socket has another name", path=self._path, reason=taken)
        try:
            self._listen()
        except BindError as error:
            raise OSError(error.message) from None

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
        if self._socket is None or self._is_abstract or trusted.identify(self._path) == self._inode:
            return
        self._forget_socket()
        try:
            if self._option == "auto":
                self._path = own_path(os.getpid())
            self._listen()
            self._logs.info("control socket was deleted; it is there again", path=self._path)
        except (OSError, BindError) as error:
            self._logs.warning("control socket was deleted and cannot be made", path=self._path, reason=error)

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
        deadline = time.monotonic() + _LAST_ANSWERS
        for client in self._clients.values():
            if client.answer:
                try:
                    client.sock.settimeout(max(0.0, deadline - time.monotonic()))
                    client.sock.sendall(client.answer)
                except OSError:  # it did not wait for us
                    pass
        self.abandon()
        if self._inode is not None:
            trusted.remove(self._path, self._inode)

    def leave(self) -> None:
        """Take no more questions, and make room for another server's socket; those that were asked are answered."""
        if self._socket is not None:
            self._forget_socket()
            if self._inode is not None:
                trusted.remove(self._path, self._inode)

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
        inode = None
        try:
            sock.setblocking(False)
            if self._is_abstract:
                sock.bind(self._path)
            else:
                inode = unix.bind(sock, self._path, 0o600)
            sock.listen(_BACKLOG)
        except OSError as error:
            sock.close()
            if error.errno == errno.EADDRINUSE:
                raise BindError(f"control {shown(self._path)}: {_owner(self._path)} listens there already") from None
            raise
        self._socket = sock
        self._inode = inode
        self._look_at = time.monotonic() + _LOOK_EVERY
        self._poll.register(sock)

    def _forget_socket(self) -> None:
        if self._socket is not None:
            self._poll.forget(self._socket)
            self._socket.close()
            self._socket = None

    def _accept(self) -> None:
        assert self._socket is not None
        for _ in range(_AT_ONCE):
            try:
                sock, _ = self._socket.accept()
            except OSError:  # no more of them, it left, or there are no descriptors
                return
            sock.setblocking(False)
            peer = unix.peer_of(sock)  # None: the file's mode has let no other user in
            if peer is not None and peer.uid not in (0, os.geteuid()):
                sock.close()
                continue
            self._make_room()
            self._clients[sock.fileno()] = Client(sock)
            self._poll.register(sock)

    def _make_room(self) -> None:
        """Close the connection that is missed least: silent, then without interest in its answer, then the oldest."""
        silent = [client for client in self._clients.values() if not client.has_asked]
        if len(silent) >= MOST_SILENT:
            self._drop(silent[0])
        elif len(self._clients) >= MOST:
            answered = [client for client in self._clients.values() if client.answer is not None]
            self._drop((silent or answered or list(self._clients.values()))[0])

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
        client.has_asked = True
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


def _owner(name: str) -> str:
    """The process that has a name, and its user, as far as the system tells."""
    peer = unix.server_of(name)
    if peer is None:
        return str(unix_owner(name) or "another process")
    return f"user {peer.uid}'s {Owner.of(peer.pid)}"


def _remove_stale() -> None:
    """Remove the sockets of servers that were killed, where they are files."""
    for each in candidates():
        if each.pid == os.getpid() or each.uid != os.geteuid() or each.name.startswith("\0"):
            continue
        inode = trusted.identify(each.name)
        if inode is not None and unix.is_abandoned(each.name):
            trusted.remove(each.name, inode)
