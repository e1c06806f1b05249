"""What systemd is told, and when (sd_notify(3))."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.helpers import Serve
from tests.integration.helpers.versions import version


class Manager:
    """Listens as systemd does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(str(path))
        self.sock.settimeout(10)

    def hear(self) -> dict[str, str]:
        """The next message."""
        lines = self.sock.recv(4096).decode().split("\n")
        return dict(line.split("=", 1) for line in lines)

    def hear_other_than(self, name: str) -> dict[str, str]:
        while name in (message := self.hear()):
            pass
        return message


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(tmp_path / "notify")
    yield made
    made.sock.close()


def test_ready_comes_after_the_import(serve: Serve, manager: Manager) -> None:
    server = serve(version(serve, "v", pause=0.5), env={"NOTIFY_SOCKET": str(manager.path)}, ready=False)
    manager.sock.settimeout(0.3)
    with pytest.raises(TimeoutError):
        manager.hear()
    manager.sock.settimeout(10)
    message = manager.hear()
    assert message["READY"] == "1"
    assert message["STATUS"].startswith("1 worker serves http://127.0.0.1:")
    server.wait_ready()
    server.kill(signal.SIGHUP)
    message = manager.hear()
    assert message["RELOADING"] == "1"
    assert int(message["MONOTONIC_USEC"]) > 0
    assert manager.hear()["READY"] == "1"
    serve.source("1/0")
    server.kill(signal.SIGHUP)
    assert manager.hear()["RELOADING"] == "1"
    message = manager.hear()
    assert (message["READY"], message["STATUS"]) == ("1", "the last reload has failed; the old version serves")
    server.kill(signal.SIGTERM)
    assert manager.hear()["STOPPING"] == "1"
    assert server.wait() == 0


def test_watchdog_hears_from_us(serve: Serve, manager: Manager) -> None:
    environ = {"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "400000"}
    server = serve(version(serve, "v"), env=environ)
    manager.hear_other_than("WATCHDOG")
    assert [manager.hear() for _ in range(3)] == [{"WATCHDOG": "1"}] * 3
    os.kill(server.pid, signal.SIGSTOP)
    manager.sock.settimeout(1.0)
    with pytest.raises(TimeoutError):
        manager.hear_other_than("WATCHDOG")
    os.kill(server.pid, signal.SIGCONT)


def test_apps_do_not_speak_for_the_service(serve: Serve, manager: Manager) -> None:
    app = """
        import os

        def application(environ, start_response):
            start_response("200 OK", [])
            return [repr("NOTIFY_SOCKET" in os.environ).encode()]
    """
    server = serve(serve.source(app), env={"NOTIFY_SOCKET": str(manager.path)})
    with server.connect() as connection:
        assert connection.request(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").body == b"False"


def test_an_upgrade_changes_the_main_process_and_stops_nothing(serve: Serve, manager: Manager) -> None:
    server = serve(version(serve, "v0"), env={"NOTIFY_SOCKET": str(manager.path)})
    assert manager.hear()["READY"] == "1"
    server.kill(signal.SIGUSR2)
    [said] = server.wait_log(r"the server with pid \d+ has taken over")
    pid = int(said.split()[4])
    messages = []
    while {"MAINPID": str(pid)} not in messages:
        messages.append(manager.hear())
    assert manager.hear()["READY"] == "1"  # the new one's
    assert server.wait() == 0
    assert not any("STOPPING" in message for message in messages)
    os.kill(pid, signal.SIGTERM)
    assert manager.hear()["STOPPING"] == "1"
    server.wait_gone(within=20)
