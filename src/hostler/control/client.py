"""The asking end: finds the server, makes sure that it is that one, asks, and reads the answer.

A name is no identity: any user may bind the abstract name of another server, or make a directory in /tmp. The kernel
says which process listens (SO_PEERCRED); it must be the one that the name or --pid says, and run as that process' user.
A server's own name has its own process id in it, after an upgrade too: the new server has a name of its own.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import struct
import sys
import time
from typing import Any, NamedTuple

from hostler.control.paths import Candidate, candidates, chosen_name, shown
from hostler.errors import HostlerError
from hostler.proc import places
from hostler.proc.owners import Owner, is_running, user_of
from hostler.proc.printable import printable, printable_lines
from hostler.proc.unix import Peer, peer_of

__all__ = ["Target", "ask", "find"]

_WITHIN = 15.0
# From a server's last words to its end, and between two looks, in seconds.
_ENDS_WITHIN, _PAUSE = 5.0, 0.01
# Of an answer, in bytes: stacks of 1000 workers are less.
_LARGEST = 64 << 20


class Target(NamedTuple):
    """A server's control socket, and its process where that is known."""

    name: str
    pid: int | None = None


def find(path: str | None, pid: int | None) -> Target:
    """The socket of the server that is meant: that of a path, of a process, or the only one there is.

    Among several, root means its own. Raises HostlerError when there is none or no single one.
    """
    if path is not None:
        return Target(chosen_name(path) if path.startswith("@") else path, pid)
    living = [each for each in candidates(pid) if _lives(each)]
    if pid is not None and not living:
        listing = _listing([each for each in candidates() if _lives(each)])
        raise HostlerError(f"no server with process id {pid} has a control socket here{listing}")
    if not living:
        raise HostlerError("no running server was found; say --control PATH if it has its own control socket")
    own = [each for each in living if each.uid == os.geteuid()] or living
    if len({each.pid for each in own}) > 1:
        raise HostlerError(f"several servers run here: say which by --pid{_listing(own)}")
    return Target(own[0].name, own[0].pid)


def ask(target: Target, *words: str, patient: bool = False, until_end: bool = False) -> Any:
    """The answer, a text or an object; HostlerError when there is none, or when it is a complaint.

    `patient`: it may take for ever. `until_end`: the server's end is an answer too. All text in it is printable, but
    for the line ends of a text.
    """
    where = shown(target.name)
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            _connect(sock, target.name)
            peer = _check_peer(sock, target)
            sock.settimeout(_WITHIN)
            sock.sendall(json.dumps({"ask": words}).encode() + b"\n")
            if patient:
                sock.settimeout(None)
            answer = _receive(sock)
        except (TimeoutError, BlockingIOError):
            raise HostlerError(f"the server at {where} does not answer: is its arbiter stopped?") from None
        except OSError as error:
            raise HostlerError(f"the server at {where} cannot be asked: {error.strerror or error}") from None
    if until_end and not answer and _has_ended(peer):
        return ""
    try:
        said = json.loads(answer)
        if said["ok"]:
            return _printable(said["answer"])
        problem = printable_lines(str(said["error"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        problem = f"the server at {where} closed the connection: does it run as another user, or another version?"
    raise HostlerError(problem)


def _connect(sock: socket.socket, name: str) -> None:
    """Connect, and wait for room in the backlog as long as for an answer: in the kernel, which keeps the order."""
    if sys.platform == "linux":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(_WITHIN), 0))
    else:
        sock.settimeout(_WITHIN)
    sock.connect(name)


def _receive(sock: socket.socket) -> bytes:
    answer = bytearray()
    while chunk := sock.recv(65536):
        answer += chunk
        if len(answer) > _LARGEST:
            raise OSError(errno.EMSGSIZE, "its answer has no end")
    return bytes(answer)


def _check_peer(sock: socket.socket, target: Target) -> Peer | None:
    """The process that listens, where the system tells it; HostlerError: it is not the server that is meant."""
    peer = peer_of(sock)
    if peer is None or _is_meant(peer, target):
        return peer
    where, process = shown(target.name), f"user {peer.uid}'s {Owner.of(peer.pid)}"
    if target.pid is None and os.geteuid() == 0:
        raise HostlerError(f"the control socket {where} is that of {process}: say --pid {peer.pid} if you mean it")
    raise HostlerError(f"the control socket {where} is that of {process}: it is not the server that you mean")


def _is_meant(peer: Peer, target: Target) -> bool:
    """A server answers its own user and root, so no other user's process can be meant by anybody else than root."""
    if os.geteuid() != 0 and peer.uid not in (0, os.geteuid()):
        return False
    if target.pid is not None:
        return peer.pid == target.pid and peer.uid == user_of(peer.pid)
    return os.geteuid() != 0 or peer.uid == 0 or peer.uid == _directory_owner(target.name)


def _has_ended(peer: Peer | None) -> bool:
    """Whether the server has ended, which closes its connections a moment before; else it has only closed ours."""
    if peer is None:
        return True
    deadline = time.monotonic() + _ENDS_WITHIN
    while is_running(peer.pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(_PAUSE)
    return True


def _directory_owner(name: str) -> int | None:
    """The user whose server may have made this file; None: any user may have."""
    if name.startswith("\0"):
        return None
    try:
        with places.find(name) as place:
            return None if place.trust == places.SHARED else place.owner
    except OSError:
        return None


def _lives(candidate: Candidate) -> bool:
    """Whether this server can be asked. One with a full backlog can be: its process is looked at when it is."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.setblocking(False)
        code = sock.connect_ex(candidate.name)
        if code == errno.EAGAIN:
            return user_of(candidate.pid) in (candidate.uid, None)
        peer = peer_of(sock) if code == 0 else None
        return code == 0 and (peer is None or _is_meant(peer, Target(candidate.name, candidate.pid)))


def _printable(answer: Any) -> Any:
    """The same, unable to do anything to a terminal. What a worker or an application has said may be in it."""
    return printable_lines(answer) if isinstance(answer, str) else _each(answer)


def _each(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list):
        return [_each(item) for item in value]
    if isinstance(value, dict):
        return {printable(name): _each(item) for name, item in value.items()}
    return value


def _listing(found: list[Candidate]) -> str:
    """ ": 12 (hostler serve shop.wsgi, in /srv/shop), ..."."""
    rows = []
    for pid in sorted({each.pid for each in found}):
        try:
            where = f", in {printable(os.readlink(f'/proc/{pid}/cwd'))}"
        except OSError:
            where = ""
        rows.append(f"{pid} ({Owner.of(pid).command or 'unknown'}{where})")
    return ": " + "; ".join(rows) if rows else ""
