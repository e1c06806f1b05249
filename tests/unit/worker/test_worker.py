"""A worker's life with a core that does as the test says: what is called, in which order, and how it ends."""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from hostler.config import Config
from hostler.config.settings import Assignment
from hostler.logs import Logs
from hostler.native import kill_when_closed, signal_handler, widen_signal_stack
from hostler.proc.channel import Channel
from hostler.proc.dump import Dump
from hostler.proc.fork import fork
from hostler.proc.signals import LEAVE
from hostler.proc.sockets import open_tcp
from hostler.stats.scoreboard import BOOTING, DRAINING, READY, Scoreboard
from hostler.worker.worker import Worker


class FakeCore:
    """Logs what is called. A file named after a method makes that method fail or wait."""

    def __init__(
        self, app: object, settings: dict[str, object], listeners: list[tuple[int, str, str, bool, bool]], *rest: object
    ) -> None:
        self._drained, self._drained_writer = os.pipe()
        self._attention, self._attention_writer = os.pipe()
        self._wanted = list(range(int(str(settings["initial_threads"]))))
        self._stopped = threading.Event()
        self._is_drained = False
        self._listener = listeners[0][0]
        os.write(2, f"core threads={settings['threads']} on {listeners[0][1]}\n".encode())
        self._fail("init")

    def start(self) -> None:
        os.write(2, b"start\n")
        self._fail("start")

    def run_thread(self, index: int) -> None:
        if index == 0:
            self._fail("thread")
        if os.path.exists("stuck") and index == 0:
            time.sleep(60)
        self._stopped.wait()

    def drain(self) -> None:
        os.write(2, b"drain\n")
        socket.socket(fileno=os.dup(self._listener)).close()  # open still: it has to be emptied first
        if not os.path.exists("busy"):
            self._is_drained = True
            os.write(self._drained_writer, b"x")

    def close_websockets(self) -> None:
        os.write(2, b"close_websockets\n")

    def cut(self) -> None:
        os.write(2, b"cut\n")

    def drained_fd(self) -> int:
        return self._drained

    def is_drained(self) -> bool:
        return self._is_drained

    def is_forked(self) -> bool:
        return False

    def keep_from_children(self, fds: list[int], signals: list[int]) -> None:
        assert fds
        assert signals

    def turn_away(self, reason: str) -> None:
        os.write(2, b"turned away\n")

    def in_flight(self) -> list[tuple[str, str, str, float, int]]:
        return [("GET", "/busy", "", 1.25, 7)]

    def attention_fd(self) -> int:
        return self._attention

    def call_attention(self) -> None:
        os.write(self._attention_writer, b"x")

    def attend(self) -> tuple[list[int], list[tuple[str, None]]]:
        if select.select([self._attention], [], [], 0)[0]:
            os.read(self._attention, 1)
        wanted, self._wanted = self._wanted, []
        return wanted, []

    def visit_main(self) -> None:
        os.write(2, b"visit_main\n")

    def abandoned(self) -> int:
        return 0

    def trim(self) -> None:
        os.write(2, b"trim\n")

    def stop(self) -> None:
        os.write(2, b"stop\n")
        self._stopped.set()

    def flush_logs(self) -> None:
        os.write(2, b"flush\n")

    def close(self) -> None:
        os.write(2, b"close\n")

    def _fail(self, name: str) -> None:
        if os.path.exists(name):
            raise RuntimeError(f"{name} fails")


def _app(environ: object, start_response: object) -> list[bytes]:
    return []


class Life:
    """A worker that was forked, seen from the arbiter's side."""

    def __init__(self, folder: Path, options: dict[str, object]) -> None:
        self.folder = folder
        config = Config(Assignment(name, value, name, name) for name, value in options.items())
        self.board = Scoreboard(1)
        self.channel, theirs = Channel.pair()
        listeners = open_tcp("127.0.0.1", 0, 16)

        def prepare() -> None:
            self.channel.close()
            os.chdir(folder)
            os.dup2(os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
            module = ModuleType("hostler.native")
            module.Core = FakeCore  # type: ignore[attr-defined]
            module.kill_when_closed = kill_when_closed  # type: ignore[attr-defined]
            module.signal_handler = signal_handler  # type: ignore[attr-defined]
            module.widen_signal_stack = widen_signal_stack  # type: ignore[attr-defined]
            sys.modules["hostler.native"] = module

        def main() -> int:
            app = None if config.app else _app
            return Worker(config, listeners, self.board, 0, theirs, Dump(), Logs("error.log"), app).run()

        self.pid = fork(prepare, main, {})
        theirs.close()
        for listener in listeners:
            listener.close()

    def hear(self) -> list[str]:
        """Wait for a word, or for the end."""
        deadline = time.monotonic() + 10
        while self.channel.is_open and time.monotonic() < deadline:
            if said := self.channel.receive():
                return said
            time.sleep(0.005)
        return []

    def wait(self) -> int:
        pid, self.pid = self.pid, 0
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def end(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()
        self.channel.close()

    @property
    def calls(self) -> list[str]:
        return (self.folder / "log").read_text().splitlines()

    @property
    def log(self) -> str:
        return (self.folder / "error.log").read_text()


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Callable[..., Life]]:
    lives: list[Life] = []

    def start(*files: str, **options: object) -> Life:
        for name in files:
            (tmp_path / name).touch()
        lives.append(Life(tmp_path, {"threads": 2, **options}))
        return lives[-1]

    yield start
    for life in lives:
        life.end()


def test_boot_drain_and_end(live: Callable[..., Life]) -> None:
    life = live()
    assert life.hear() == ["ready"]
    slot = life.board.read(0)
    assert (slot.state, slot.pid) == (READY, life.pid)
    os.kill(life.pid, signal.SIGTERM)
    assert life.wait() == 0
    assert life.calls == ["core threads=2 on 127.0.0.1", "start", "drain", "close_websockets", "stop", "close"]
    assert life.board.read(0).state == DRAINING


def test_app_is_imported_from_the_current_directory(live: Callable[..., Life], tmp_path: Path) -> None:
    (tmp_path / "shop_w.py").write_text("def application(environ, start_response): pass")
    assert live(app="shop_w").hear() == ["ready\napp=shop_w"]


def test_app_that_does_not_load_is_reported(live: Callable[..., Life]) -> None:
    life = live(app="shop_x:app")
    [message] = life.hear()
    assert message.startswith('failed app\ncannot load "shop_x:app": no module named "shop_x"')
    assert life.wait() == 4
    assert life.board.read(0).state == BOOTING


@pytest.mark.parametrize("what", ["init", "start"])
def test_core_that_does_not_start_is_reported(live: Callable[..., Life], what: str) -> None:
    life = live(what)
    [message] = life.hear()
    assert message.startswith("failed boot\n")
    assert f"{what} fails" in message
    assert life.wait() == 3


def test_what_is_not_drained_in_time_is_named(live: Callable[..., Life]) -> None:
    life = live("busy", graceful_timeout="100ms")
    assert life.hear() == ["ready"]
    os.kill(life.pid, signal.SIGTERM)
    assert life.wait() == 0
    assert life.log.count('[WARNING] request cut request="GET /busy" client=- after=1.2s') == 1
    assert life.calls[-4:] == ["turned away", "cut", "stop", "close"]


def test_surplus_worker_drains_without_a_deadline_until_it_gets_one(live: Callable[..., Life]) -> None:
    life = live("busy", graceful_timeout="100ms")
    assert life.hear() == ["ready"]
    os.kill(life.pid, LEAVE)
    said = life.hear()
    assert said == ["closed"]
    os.kill(life.pid, signal.SIGUSR1)  # it is heard, and nothing else happens
    assert life.calls[-1] == "drain"
    os.kill(life.pid, signal.SIGTERM)
    assert life.wait() == 0
    assert life.calls[-5:] == ["close_websockets", "turned away", "cut", "stop", "close"]


def test_quit_names_and_leaves(live: Callable[..., Life]) -> None:
    life = live()
    assert life.hear() == ["ready"]
    os.kill(life.pid, signal.SIGQUIT)
    assert life.wait() == 0
    assert 'request cut request="GET /busy"' in life.log
    assert life.calls[-1] == "flush"


def test_thread_that_does_not_return_has_the_same_time_then_is_left_behind(live: Callable[..., Life]) -> None:
    """The connections are drained, but the app does something in close(), or for a client that left."""
    life = live("stuck", graceful_timeout="200ms")
    assert life.hear() == ["ready"]
    os.kill(life.pid, signal.SIGTERM)
    started = time.monotonic()
    assert life.wait() == 0
    assert 0.15 < time.monotonic() - started < 5.0
    assert life.calls[-3:] == ["stop", "turned away", "flush"]


def test_thread_that_breaks_drains_the_worker(live: Callable[..., Life]) -> None:
    life = live("thread")
    said = life.hear()
    while "closed" not in said and (more := life.hear()):  # they may come one by one
        said += more
    assert said == ["ready", "closed"]
    assert life.wait() == 0
    assert "please report this fault of hostler: app thread 0: RuntimeError('thread fails')" in life.log
    assert "drain" in life.calls


@pytest.mark.parametrize("is_busy", [False, True])
def test_end_of_the_arbiter_is_ours(live: Callable[..., Life], is_busy: bool) -> None:
    life = live(*["busy"] * is_busy, graceful_timeout="30s")
    assert life.hear() == ["ready"]
    started = time.monotonic()
    life.channel.close()
    assert life.wait() == 0
    assert time.monotonic() - started < 1.0
    assert "the arbiter is gone" in life.log


def test_log_is_reopened(live: Callable[..., Life], tmp_path: Path) -> None:
    life = live()
    assert life.hear() == ["ready"]
    (tmp_path / "error.log").rename(tmp_path / "old.log")
    os.kill(life.pid, signal.SIGUSR1)
    deadline = time.monotonic() + 10
    while not (tmp_path / "error.log").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(life.pid, signal.SIGQUIT)
    assert life.wait() == 0
    assert "request cut" in life.log


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGUSR2])
def test_signals_for_the_arbiter_are_ignored(live: Callable[..., Life], number: signal.Signals) -> None:
    life = live()
    assert life.hear() == ["ready"]
    os.kill(life.pid, number)
    os.kill(life.pid, signal.SIGTERM)
    assert life.wait() == 0
    assert "close" in life.calls


def test_handlers_that_the_apps_import_sets_are_overruled(live: Callable[..., Life], tmp_path: Path) -> None:
    (tmp_path / "shop_y.py").write_text(
        "import signal, os\n"
        "for number in (15, 3): signal.signal(number, lambda number, frame: os._exit(9))\n"
        "def app(environ, start_response): pass\n"
    )
    life = live(app="shop_y:app")
    assert life.hear() == ["ready\napp=shop_y:app"]
    os.kill(life.pid, signal.SIGTERM)
    assert life.wait() == 0
