"""Where we listen: which addresses, in whose place, and what happens when one is taken."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostler.arbiter import listeners as module
from hostler.arbiter.listeners import Listeners
from hostler.config.address import Address, DescriptorAddress, TcpAddress, UnixAddress
from hostler.errors import BindError
from hostler.logs import Logs
from hostler.proc.sockets import Listener


@pytest.fixture
def logs(tmp_path: Path) -> Iterator[Logs]:
    made = Logs(str(tmp_path / "error.log"))
    yield made
    made.close()


def listen(logs: Logs, *addresses: Address) -> list[Listener]:
    return Listeners(logs).open(addresses, backlog=16, unix_mode=0o600)


def close(listeners: list[Listener]) -> None:
    for listener in listeners:
        listener.close()


def test_all_kinds_in_their_order(logs: Logs, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as passed:
        fd = os.dup(passed.fileno())
        path = str(tmp_path / "s")
        found = listen(logs, UnixAddress(path), TcpAddress("127.0.0.1", 0), DescriptorAddress(fd))
        assert [listener.url.partition(":")[0] for listener in found] == ["unix", "http", "http"]
        assert [listener.is_ours for listener in found] == [True, True, False]
        close(found)


def test_port_zero_may_stand_twice(logs: Logs) -> None:
    found = listen(logs, TcpAddress("127.0.0.1", 0), TcpAddress("127.0.0.1", 0))
    assert len({listener.url for listener in found}) == 2
    close(found)


def test_when_one_is_taken_none_is_open(logs: Logs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.0)
    path = tmp_path / "s"
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(BindError, match="already in use"):
            listen(logs, UnixAddress(str(path)), TcpAddress("127.0.0.1", port))
    assert not path.exists()


def test_address_that_becomes_free_in_a_moment_is_waited_for(logs: Logs) -> None:
    """The workers of an arbiter that was killed end within a second."""
    other = socket.create_server(("127.0.0.1", 0))
    port = other.getsockname()[1]
    threading.Timer(0.2, other.close).start()
    opened = listen(logs, TcpAddress("127.0.0.1", port))
    assert [listener.url for listener in opened] == [f"http://127.0.0.1:{port}"]
    close(opened)


def test_other_errors_are_not_waited_for(logs: Logs, tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(BindError, match="folder"):
        listen(logs, UnixAddress(str(tmp_path / "no" / "s")))
    assert time.monotonic() - started < module._PATIENCE


def test_sockets_of_systemd_take_the_place_of_bind(logs: Logs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as passed:
        fd = os.dup(passed.fileno())
        monkeypatch.setattr("hostler.proc.sockets._FIRST_PASSED", fd)
        monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
        monkeypatch.setenv("LISTEN_FDS", "1")
        [listener] = listen(logs, TcpAddress("127.0.0.1", 0))
        assert listener.socket.getsockname() == passed.getsockname()
        assert "sockets of systemd are used in place of bind sockets=1" in (tmp_path / "error.log").read_text()
        listener.close()


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
@pytest.mark.parametrize(
    ("addresses", "v6only"),
    [
        ([TcpAddress("::", 8)], False),
        ([TcpAddress("::", 8), TcpAddress("0.0.0.0", 8)], True),
        ([TcpAddress("::", 8), TcpAddress("0.0.0.0", 9)], False),
        ([TcpAddress("::1", 8)], True),
    ],
)
def test_ipv6_alone_takes_ipv4_too(addresses: list[Address], v6only: bool) -> None:
    first = addresses[0]
    assert isinstance(first, TcpAddress)
    assert module._is_v6only(first, addresses) is v6only
