"""Listening sockets: what they are set to, and what stands in their way."""

from __future__ import annotations

import os
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostler.errors import BindError
from hostler.proc import sockets
from hostler.proc.sockets import AddressTaken, Listener, adopt, open_tcp, open_unix, passed_by_systemd

needs_ipv6 = pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="/proc")


@pytest.fixture
def keep() -> Iterator[list[Listener]]:
    """Listeners that the test opens; they are closed after it."""
    kept: list[Listener] = []
    yield kept
    for listener in kept:
        listener.close()


# --- TCP ---


def test_tcp_listener_is_ready_to_be_polled(keep: list[Listener]) -> None:
    keep += open_tcp("127.0.0.1", 0, 16)
    [listener] = keep
    sock = listener.socket
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
    assert not sock.getblocking()
    assert not sock.get_inheritable()
    port = sock.getsockname()[1]
    assert listener.host == ("127.0.0.1", str(port))
    assert listener.url == f"http://127.0.0.1:{port}"
    assert listener.is_ours
    assert not listener.is_unix


@pytest.mark.skipif(sys.platform != "linux", reason="other systems set it on accept")
def test_accepted_sockets_send_at_once(keep: list[Listener]) -> None:
    keep += open_tcp("127.0.0.1", 0, 16)
    with socket.create_connection(keep[0].socket.getsockname()):
        accepted, _ = keep[0].socket.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@needs_ipv6
@pytest.mark.parametrize("v6only", [True, False])
def test_ipv6(keep: list[Listener], v6only: bool) -> None:
    keep += open_tcp("::", 0, 16, v6only=v6only)
    [listener] = keep
    port = listener.socket.getsockname()[1]
    assert listener.url == f"http://[::]:{port}"
    if v6only:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
    else:
        socket.create_connection(("127.0.0.1", port)).close()


def test_name_with_several_addresses_listens_on_each(keep: list[Listener]) -> None:
    keep += open_tcp("localhost", 0, 16)
    found = {info[4][0] for info in socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM)}
    assert {listener.host[0] for listener in keep} <= found
    assert keep


@needs_proc
def test_taken_port_names_its_owner() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(AddressTaken) as caught:
            open_tcp("127.0.0.1", port, 16)
    message = caught.value.message
    assert message.startswith(f'bind 127.0.0.1:{port}: address already in use by "')
    assert message.endswith(f"(pid {os.getpid()})")


def test_taken_port_without_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hostler.proc.owners.tcp_owner", lambda port: None)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(AddressTaken, match=r"already in use$"):
            open_tcp("127.0.0.1", port, 16)


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("no-such-host.invalid", "the host is not known"),
        ("x" * 64 + ".example", "the host is not known"),
        ("203.0.113.7", "no network interface of this machine has that address"),
    ],
)
def test_bad_host_is_explained(host: str, reason: str) -> None:
    with pytest.raises(BindError, match=f"^bind {host}:8000: {reason}"):
        open_tcp(host, 8000, 16)


def test_low_port_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> Listener:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(sockets, "_tcp", refuse)
    with pytest.raises(BindError, match=r"ports below \d+ need root or CAP_NET_BIND_SERVICE"):
        open_tcp("127.0.0.1", 80, 16)


# --- Unix ---


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666])
def test_unix_socket_has_its_mode_and_the_mask_stays(keep: list[Listener], tmp_path: Path, mode: int) -> None:
    path = tmp_path / "app.sock"
    mask = os.umask(0o077)
    try:
        keep.append(open_unix(str(path), mode, 16))
        assert os.umask(0o077) == 0o077
    finally:
        os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert keep[0].url == f"unix:{path}"
    assert keep[0].host == ("localhost", "80")
    assert keep[0].is_unix


def test_unix_socket_goes_with_its_listener(tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    listener = open_unix(str(path), 0o600, 16)
    listener.close()
    assert not path.exists()
    listener.close()


def test_newcomers_are_refused_while_the_queue_is_kept(keep: list[Listener], tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    keep.append(open_unix(str(path), 0o600, 16))
    with socket.socket(socket.AF_UNIX) as queued:
        queued.connect(str(path))
        assert keep[0].refuse_newcomers()
        assert not path.exists()
        accepted, _ = keep[0].socket.accept()
        accepted.close()


def test_file_of_another_server_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    old = open_unix(str(path), 0o600, 16)
    path.unlink()
    new = open_unix(str(path), 0o600, 16)
    old.refuse_newcomers()
    old.close()
    assert path.exists()
    new.close()


def test_abandoned_socket_is_replaced(keep: list[Listener], tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()
    assert path.exists()
    keep.append(open_unix(str(path), 0o600, 16))
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


@needs_proc
@pytest.mark.parametrize("is_full", [False, True])
def test_living_socket_is_refused_and_its_owner_named(tmp_path: Path, is_full: bool) -> None:
    path = tmp_path / "app.sock"
    clients = []
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen(0)
        if is_full:
            clients = [socket.socket(socket.AF_UNIX) for _ in range(3)]
            for client in clients:
                client.setblocking(False)
                client.connect_ex(str(path))
        with pytest.raises(AddressTaken, match=rf"unix:{path}: .*in use by .*\(pid {os.getpid()}\)"):
            open_unix(str(path), 0o600, 16)
    for client in clients:
        client.close()
    assert path.exists()


def test_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "app.sock"
    path.write_text("mine")
    with pytest.raises(BindError, match="a file that is not a socket is in its place"):
        open_unix(str(path), 0o600, 16)
    assert path.read_text() == "mine"


def test_missing_folder_is_explained(tmp_path: Path) -> None:
    with pytest.raises(BindError, match="the folder does not exist"):
        open_unix(str(tmp_path / "no" / "app.sock"), 0o600, 16)


@pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets")
def test_abstract_socket(keep: list[Listener]) -> None:
    name = f"\0hostler-test-{os.getpid()}"
    keep.append(open_unix(name, 0o600, 16))
    assert keep[0].url == f"unix:@{name[1:]}"
    assert not keep[0].refuse_newcomers()
    with pytest.raises(AddressTaken):
        open_unix(name, 0o600, 16)


# --- Passed on ---


@pytest.mark.parametrize("is_listening", [True, False])
def test_adopted_socket_is_made_ready(keep: list[Listener], is_listening: bool) -> None:
    with socket.socket() as passed:
        passed.bind(("127.0.0.1", 0))
        if is_listening:
            passed.listen()
        fd = os.dup(passed.fileno())
        os.set_inheritable(fd, True)
        keep.append(adopt(fd, 16))
        [listener] = keep
        assert listener.socket.fileno() == fd
        assert not listener.is_ours
        assert not os.get_inheritable(fd)
        assert not listener.socket.getblocking()
        assert not listener.refuse_newcomers()
        socket.create_connection(passed.getsockname()).close()


def test_what_is_no_listener_is_not_adopted(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file:
        with pytest.raises(BindError, match=f"^bind fd://{file.fileno()}: no socket is open there"):
            adopt(file.fileno(), 16)
    with pytest.raises(BindError, match=r"^bind fd://9999: no socket is open there"):
        adopt(9999, 16)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        with pytest.raises(BindError, match="not a TCP or unix stream socket"):
            adopt(datagrams.fileno(), 16)
        assert datagrams.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE)  # still open
    ours, theirs = socket.socketpair()
    with pytest.raises(BindError, match=f"^bind fd://{ours.fileno()}: "):
        adopt(ours.fileno(), 16)
    ours.close()
    theirs.close()


def test_systemd_passes_descriptors_from_three() -> None:
    environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2", "LISTEN_FDNAMES": "a:b", "X": "1"}
    assert passed_by_systemd(environ) == [3, 4]
    assert environ == {"X": "1"}


@pytest.mark.parametrize(
    "environ",
    [{}, {"LISTEN_FDS": "1"}, {"LISTEN_PID": "1", "LISTEN_FDS": "1"}, {"LISTEN_PID": str(os.getpid())},
     {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "many"}],
)  # fmt: skip
def test_what_systemd_passes_to_others_is_not_ours(environ: dict[str, str]) -> None:
    before = dict(environ)
    assert passed_by_systemd(environ) == []
    assert environ == before
