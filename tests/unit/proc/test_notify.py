"""Messages to systemd, without one."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from hostler.proc.notify import Notifier


def test_without_a_listener_nothing_happens() -> None:
    environ = {"WATCHDOG_USEC": "1000000"}
    notifier = Notifier(environ)
    notifier.ready("x")
    notifier.beat(1.0)
    assert (notifier.deadline(), environ) == (None, {})


@pytest.mark.parametrize("name", ["{}/socket", "@hostler-test-{}"])
def test_messages_reach_files_and_abstract_names(tmp_path: Path, name: str) -> None:
    path = name.format(tmp_path if name.startswith("{") else os.getpid())
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("\0" + path[1:] if path.startswith("@") else path)
        sock.settimeout(5)
        environ = {"NOTIFY_SOCKET": path, "HOME": "/"}
        notifier = Notifier(environ)
        assert environ == {"HOME": "/"}
        notifier.ready("serves")
        assert sock.recv(100) == b"READY=1\nSTATUS=serves"
        notifier.stopping()
        assert sock.recv(100) == b"STOPPING=1\nSTATUS=stopping"


@pytest.mark.parametrize(
    ("variables", "interval"),
    [
        ({"WATCHDOG_USEC": "2000000"}, 1.0),
        ({"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": str(os.getpid())}, 1.0),
        ({"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_watchdog_is_heard_from_twice_in_its_time(variables: dict[str, str], interval: float | None) -> None:
    assert Notifier({"NOTIFY_SOCKET": "/nowhere", **variables}).interval == interval


def test_beats_are_due_one_after_the_other() -> None:
    notifier = Notifier({"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "2000000"})
    assert notifier.deadline() == 0.0
    notifier.beat(5.0)
    assert notifier.deadline() == 6.0
    notifier.beat(5.5)
    assert notifier.deadline() == 6.0
