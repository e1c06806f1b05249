"""Unix sockets that are files."""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path

import pytest

from hostler.arbiter.listeners import Listeners
from hostler.config.address import UnixAddress
from hostler.errors import BindError
from hostler.logs import Logs
from hostler.proc import unix
from hostler.proc.unix import Reached
from tests.unit.helpers.places import APP, WORKERS, directory

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="the rule is about root")


@pytest.mark.parametrize("way", ["link", "hard link"])
@needs_root
def test_file_that_took_the_sockets_place_is_not_given_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """The directory's owner replaces the socket right after it was made."""
    victim = tmp_path / "victim"
    victim.write_text("secret")
    path = directory(tmp_path / "d", "the workers'") / "app.sock"

    class Raced(socket.socket):
        def bind(self, address: object) -> None:
            super().bind(address)  # type: ignore[arg-type]
            path.unlink()
            if way == "link":
                path.symlink_to(victim)
            else:
                path.hardlink_to(victim)

    monkeypatch.setattr(socket, "socket", Raced)
    with pytest.raises(BindError, match="another file has taken the socket's place"):
        Listeners(Logs()).open([UnixAddress(str(path))], backlog=1, unix_mode=0o660, owner=WORKERS)
    assert victim.stat().st_uid == 0


@needs_root
@pytest.mark.parametrize("kind", ["roots", "the workers'"])
def test_socket_belongs_to_its_owner_and_goes_with_its_listener(tmp_path: Path, kind: str) -> None:
    path = directory(tmp_path / "d", kind) / "app.sock"
    listeners = Listeners(Logs())
    [listener] = listeners.open([UnixAddress(str(path))], backlog=99, unix_mode=0o660, owner=WORKERS)
    found = path.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (APP, APP, 0o660)
    assert (listener.url, listener.server) == (f"unix:{path}", (str(path), None))
    with pytest.raises(BindError, match=f"address already in use by .*{os.getpid()}"):
        Listeners(Logs()).open([UnixAddress(str(path))], backlog=1, unix_mode=0o660, owner=WORKERS)
    listeners.close()
    assert not path.exists()


@needs_root
def test_socket_behind_a_link_of_others_is_neither_made_nor_removed(tmp_path: Path) -> None:
    directory(tmp_path / "app", "the workers'")
    directory(tmp_path / "etc", "roots")
    (tmp_path / "app/run").symlink_to(tmp_path / "etc")
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(f"{tmp_path}/etc/app.sock")
    with pytest.raises(BindError, match="root does not follow the link"):
        Listeners(Logs()).open([UnixAddress(f"{tmp_path}/app/run/app.sock")], backlog=1, unix_mode=0o660)
    assert (tmp_path / "etc/app.sock").exists()


def test_only_a_refusal_is_proof_that_a_server_is_gone(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        assert unix.is_abandoned(path)  # it does not listen yet
        server.listen(0)
        assert not unix.is_abandoned(path)
        with socket.socket(socket.AF_UNIX) as another:
            another.setblocking(False)
            assert another.connect_ex(path) == errno.EAGAIN  # the backlog is full
        assert not unix.is_abandoned(path)
        assert unix.server_of(path) is None
    assert unix.is_abandoned(path)
    os.unlink(path)
    assert unix.is_abandoned(path)


def test_server_is_known_to_its_client(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen(1)
        assert unix.server_of(path) == (os.getpid(), os.geteuid(), os.getegid())


@needs_root
def test_socket_is_reached_only_where_others_cannot_lead_elsewhere(tmp_path: Path) -> None:
    place = directory(tmp_path / "d", "the workers'")
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as us,
    ):
        server.bind(f"{place}/s")
        with Reached(f"{place}/s") as address:
            us.sendto(b"hello", address)
        assert server.recv(9) == b"hello"
        (place / "link").symlink_to("s")
        with pytest.raises(OSError, match="root does not follow the link"), Reached(f"{place}/link"):
            pass
