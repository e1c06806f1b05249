"""The launcher: what it refuses, and what it leaves behind when it does."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest

from hostler.config import Config
from hostler.config.settings import Assignment
from hostler.errors import BindError, HostlerError
from hostler.launcher import run


def config(**options: object) -> Config:
    return Config([Assignment(name, value, name, name) for name, value in options.items()])


def test_address_that_is_taken_leaves_no_pidfile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hostler.arbiter.listeners._PATIENCE", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as other:
        with pytest.raises(BindError, match="already in use"):
            run(config(bind=f"127.0.0.1:{other.getsockname()[1]}", pidfile=str(tmp_path / "pid")))
    assert os.listdir(tmp_path) == []


def test_only_the_main_thread_can_serve() -> None:
    caught: list[HostlerError] = []

    def serve() -> None:
        try:
            run(config(bind="127.0.0.1:0"))
        except HostlerError as error:
            caught.append(error)

    thread = threading.Thread(target=serve)
    thread.start()
    thread.join()
    assert "main thread only" in caught[0].message
