"""Which server is meant, whether it is that one, and what is made of its answer."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hostler.control import client, paths
from hostler.control.client import Target
from hostler.control.paths import Candidate
from hostler.errors import HostlerError
from hostler.proc.unix import Peer

US = os.geteuid()
OTHER = 54322


@pytest.fixture
def alive(monkeypatch: pytest.MonkeyPatch) -> list[Candidate]:
    """Servers that live; the test fills it. A dead one has left its socket."""
    living: list[Candidate] = []

    def candidates(pid: int | None = None) -> list[Candidate]:
        return [each for each in (*living, Candidate(999_999, US, "/dead.sock")) if pid in (None, each.pid)]

    monkeypatch.setattr(client, "candidates", candidates)
    monkeypatch.setattr(client, "_lives", lambda each: each.name != "/dead.sock")
    return living


def test_path_is_taken_as_it_is(alive: list[Candidate]) -> None:
    assert client.find("/x.sock", None) == ("/x.sock", None)
    assert client.find("@x", 4711) == ("\0x", 4711)


def test_only_living_server_is_meant(alive: list[Candidate]) -> None:
    alive.append(Candidate(4711, US, "/one.sock"))
    assert client.find(None, None) == ("/one.sock", 4711)


def test_with_several_servers_one_has_to_be_named(alive: list[Candidate]) -> None:
    alive += [Candidate(4711, US, "/one.sock"), Candidate(4712, US, "/two.sock")]
    with pytest.raises(HostlerError, match=r"several servers run here: say which by --pid: 4711 .*; 4712 "):
        client.find(None, None)
    assert client.find(None, 4712) == ("/two.sock", 4712)


def test_two_names_of_one_server_are_one_server(alive: list[Candidate]) -> None:
    alive += [Candidate(4711, US, "\0one"), Candidate(4711, US, "/one.sock")]
    assert client.find(None, None) == ("\0one", 4711)


def test_own_server_is_meant_before_those_of_other_users(alive: list[Candidate]) -> None:
    alive += [Candidate(4711, OTHER, "\0theirs"), Candidate(4712, US, "\0ours"), Candidate(4713, OTHER, "\0theirs too")]
    assert client.find(None, None) == ("\0ours", 4712)
    assert client.find(None, 4711) == ("\0theirs", 4711)


def test_none_is_there(alive: list[Candidate]) -> None:
    with pytest.raises(HostlerError, match="no running server was found; say --control PATH"):
        client.find(None, None)
    with pytest.raises(HostlerError, match="no server with process id 1 has a control socket here"):
        client.find(None, 1)


# --- Whether the process that listens is the one that is meant ---


@pytest.mark.parametrize(
    ("us", "peer", "target", "users", "is_meant"),
    [
        # Root asks a server by its process: the kernel must name that process, with the user that it has.
        (0, Peer(7, 0, 0), Target("\0hostler/0/7", 7), {7: 0}, True),
        (0, Peer(7, 33, 33), Target("\0hostler/33/7", 7), {7: 33}, True),
        (0, Peer(8, 33, 33), Target("\0hostler/0/7", 7), {7: 0, 8: 33}, False),
        (0, Peer(8, 0, 0), Target("\0hostler/0/7", 7), {7: 0, 8: 0}, False),
        (0, Peer(7, 33, 33), Target("\0hostler/33/7", 7), {7: 0}, False),  # the process has another user by now
        (0, Peer(0, 0, 0), Target("\0hostler/0/7", 7), {7: 0}, False),  # in another pid namespace
        # Root asks by a name that was chosen: any user may have an abstract one.
        (0, Peer(7, 0, 0), Target("\0shop"), {7: 0}, True),
        (0, Peer(7, 33, 33), Target("\0shop"), {7: 33}, False),
        (0, Peer(7, 33, 33), Target("\0shop", 7), {7: 33}, True),
        # Others ask: only their own server, or root's, would answer them.
        (33, Peer(7, 33, 33), Target("\0shop"), {7: 33}, True),
        (33, Peer(7, 0, 0), Target("\0shop"), {7: 0}, True),
        (33, Peer(7, 44, 44), Target("\0shop"), {7: 44}, False),
        (33, Peer(7, 44, 44), Target("\0hostler/33/7", 7), {7: 44}, False),
        (33, Peer(8, 33, 33), Target("\0hostler/33/7", 7), {7: 33, 8: 33}, False),
    ],
)
def test_process_that_listens_must_be_the_server_that_is_meant(
    monkeypatch: pytest.MonkeyPatch, us: int, peer: Peer, target: Target, users: dict[int, int], is_meant: bool
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: us)
    monkeypatch.setattr(client, "user_of", users.get)
    assert client._is_meant(peer, target) is is_meant


@pytest.mark.skipif(US != 0, reason="only root can make directories of others")
@pytest.mark.parametrize(
    ("owner", "mode", "uid", "is_meant"),
    [
        (0, 0o755, 0, True),
        (0, 0o755, 33, False),
        (33, 0o755, 33, True),
        (33, 0o755, 44, False),
        (0, 0o1777, 0, True),
        (0, 0o1777, 33, False),
    ],
)
def test_file_that_root_names_may_be_its_directorys_owners(
    tmp_path: Path, owner: int, mode: int, uid: int, is_meant: bool
) -> None:
    (tmp_path / "run").mkdir()
    os.chown(tmp_path / "run", owner, owner)
    (tmp_path / "run").chmod(mode)
    assert client._is_meant(Peer(7, uid, uid), Target(f"{tmp_path}/run/s")) is is_meant


@pytest.mark.skipif(US != 0, reason="only root can make directories of others")
@pytest.mark.parametrize(("owner", "mode", "is_read"), [(0, 0o700, True), (OTHER, 0o700, False), (0, 0o777, False)])
def test_directory_of_another_user_is_not_looked_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: int, mode: int, is_read: bool
) -> None:
    directory = tmp_path / "hostler-0"
    directory.mkdir()
    (directory / "4711.sock").touch()
    os.chown(directory, owner, owner)
    directory.chmod(mode)
    monkeypatch.setattr(paths, "directories", lambda uid: [str(directory)])
    found = [each for each in paths.candidates(4711) if each.name.startswith("/")]
    assert found == ([Candidate(4711, 0, f"{directory}/4711.sock")] if is_read else [])


# --- What a server says ---


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Callable[[bytes], Target]]:
    """Answers one question with these bytes."""
    threads: list[threading.Thread] = []
    server = socket.socket(socket.AF_UNIX)
    server.bind(f"{tmp_path}/s")
    server.listen(1)

    def answer(said: bytes) -> Target:
        def run() -> None:
            sock, _ = server.accept()
            with sock:
                sock.recv(1024)
                sock.sendall(said)

        threads.append(threading.Thread(target=run))
        threads[-1].start()
        return Target(f"{tmp_path}/s", os.getpid())

    yield answer
    for thread in threads:
        thread.join()
    server.close()


EVIL = "\x1b[2J\x1b]0;owned\x07\x9b31m \u202egnp.exe\u2028next"
SEEN = "\\x1b[2J\\x1b]0;owned\\x07\\x9b31m \\u202egnp.exe\\u2028next"


def test_text_of_an_answer_is_printable(serving: Callable[[bytes], Target]) -> None:
    said = {"ok": True, "answer": f"one\n{EVIL}\rtwo\n"}
    assert client.ask(serving(json.dumps(said).encode()), "reload") == f"one\n{SEEN}\\rtwo\n"


def test_each_text_in_an_object_is_printable_and_one_line(serving: Callable[[bytes], Target]) -> None:
    said = {"ok": True, "answer": {"state": EVIL, "workers": [{EVIL: ["a\nb", 1, None, True, 1.5]}]}}
    answer = client.ask(serving(json.dumps(said).encode()), "status")
    assert answer == {"state": SEEN, "workers": [{SEEN: ["a\\nb", 1, None, True, 1.5]}]}


def test_text_of_a_complaint_is_printable(serving: Callable[[bytes], Target]) -> None:
    with pytest.raises(HostlerError) as caught:
        client.ask(serving(json.dumps({"ok": False, "error": EVIL}).encode()), "reload")
    assert caught.value.message == SEEN


def test_answer_without_an_end_is_not_collected(
    serving: Callable[[bytes], Target], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_LARGEST", 1000)
    with pytest.raises(HostlerError, match="its answer has no end"):
        client.ask(serving(b"x" * 1001), "status")


def test_server_that_closes_and_lives_on_has_not_stopped(
    serving: Callable[[bytes], Target], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_ENDS_WITHIN", 0.05)
    with pytest.raises(HostlerError, match="closed the connection"):
        client.ask(serving(b""), "stop", until_end=True)
