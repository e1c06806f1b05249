"""The asking end: finds the server, asks, and reads the answer."""

from __future__ import annotations

import json
import os
import socket
import struct
from typing import Any

from hostler.control.paths import candidates, chosen_name, owner_of, shown
from hostler.errors import HostlerError
from hostler.proc.owners import Owner

__all__ = ["ask", "find"]

_WITHIN = 15.0


def find(path: str | None, pid: int | None) -> str:
    """The socket of the server that is meant: that of a path, of a process, or the only one there is."""
    if path is not None:
        return chosen_name(path) if path.startswith("@") else path
    found = {number: each for number, each in candidates().items() if _lives(each)}
    if pid is not None:
        if pid not in found:
            raise HostlerError(f"no server with process id {pid} has a control socket here{_listing(found)}")
        return found[pid]
    if not found:
        raise HostlerError("no running server was found; say --control PATH if it has its own control socket")
    if len(found) > 1:
        raise HostlerError(f"several servers run here: say which by --pid{_listing(found)}")
    return next(iter(found.values()))


def ask(path: str, *words: str, patient: bool = False, until_end: bool = False) -> Any:
    """The answer, a text or an object; HostlerError when there is none, or when it is a complaint.

    `patient`: it may take for ever. `until_end`: the server's end is an answer too.
    """
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(_WITHIN)
        try:
            sock.connect(path)
            _check_peer(sock, path)
            sock.sendall(json.dumps({"ask": words}).encode() + b"\n")
            if patient:
                sock.settimeout(None)
            answer = b"".join(iter(lambda: sock.recv(65536), b""))
        except TimeoutError:
            raise HostlerError(f"the server at {shown(path)} does not answer: is its arbiter stopped?") from None
        except OSError as error:
            raise HostlerError(f"the server at {shown(path)} cannot be asked: {error.strerror or error}") from None
    if until_end and not answer:
        return ""
    try:
        said = json.loads(answer)
        if said["ok"]:
            return said["answer"]
        problem = str(said["error"])
    except (ValueError, KeyError, TypeError, RecursionError):
        where = shown(path)
        problem = f"the server at {where} closed the connection: does it run as another user, or another version?"
    raise HostlerError(problem)


def _check_peer(sock: socket.socket, path: str) -> None:
    """An abstract name can be taken by anybody: who answers must be the user that it names."""
    wanted = owner_of(path)
    if wanted is None or not hasattr(socket, "SO_PEERCRED"):
        return
    _, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    if uid not in (0, wanted):
        raise HostlerError(f"the control socket {shown(path)} belongs to user {uid}: it is not that server")


def _lives(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(_WITHIN)
        try:
            sock.connect(path)
            _check_peer(sock, path)
        except (OSError, HostlerError):  # nobody, or somebody else under its name
            return False
        return True


def _listing(found: dict[int, str]) -> str:
    """ ": 12 (hostler serve shop.wsgi, in /srv/shop), ..."."""
    rows = []
    for pid in sorted(found):
        try:
            where = f", in {os.readlink(f'/proc/{pid}/cwd')}"
        except OSError:
            where = ""
        rows.append(f"{pid} ({Owner.of(pid).command or 'unknown'}{where})")
    return ": " + "; ".join(rows) if rows else ""
