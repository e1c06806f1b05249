"""`hostler ctl`: what a running server tells of itself, and what it can be told."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.integration.helpers import Serve
from tests.integration.helpers.apps import HOLD
from tests.integration.helpers.commands import ctl
from tests.integration.helpers.load import HELD, wait_held
from tests.integration.helpers.versions import answer, version


def test_status(serve: Serve) -> None:
    server = serve(serve.source(HOLD), "--workers", "2")
    with server.connect() as running:
        running.send(HELD)
        wait_held(server, serve)
        known = json.loads(ctl(server, "status", "--json").stdout)
        (serve.directory / "go").touch()
        running.response()
    assert (known["pid"], known["state"], known["wanted"], known["reloading"]) == (server.pid, "serving", 2, False)
    assert known["listening"][0].startswith("http://127.0.0.1:")
    assert [worker["pid"] for worker in known["workers"]] == server.children()
    assert {worker["state"] for worker in known["workers"]} == {"ready"}
    assert sum(worker["in_flight"] for worker in known["workers"]) == 1
    assert all(worker["rss"] > 1 << 20 for worker in known["workers"])
    shown = ctl(server, "status").stdout.splitlines()
    assert shown[0].startswith("hostler ")
    assert shown[1].startswith("listening on http://127.0.0.1:")
    assert shown[3].split()[:4] == ["worker", "pid", "state", "age"]
    assert [line.split()[1] for line in shown[4:]] == [str(pid) for pid in server.children()]


def test_scale(serve: Serve) -> None:
    server = serve(version(serve, "v"))
    done = ctl(server, "scale", "3")
    assert (done.returncode, done.stdout) == (0, "3 workers, 1 before\n")
    server.wait_children(3)
    assert ctl(server, "scale", "3").stdout == "3 workers, 3 before\n"
    assert ctl(server, "scale", "1").returncode == 0
    server.wait_children(1)
    done = ctl(server, "scale", "1000")
    assert (done.returncode, done.stderr.splitlines()[1:]) == (
        1,
        ["hostler: from 1 to 64 workers are possible without a restart"],
    )
    assert done.stderr.startswith(
        f"hostler: ctl scale: pid={server.pid} app=app:application directory={serve.directory}\n"
    )


def test_recycle_replaces_one_worker(serve: Serve) -> None:
    server = serve(version(serve, "v"), "--workers", "2")
    [first, second] = [worker["pid"] for worker in json.loads(ctl(server, "status", "--json").stdout)["workers"]]
    done = ctl(server, "recycle", "1")
    assert (done.returncode, done.stdout) == (0, f"worker replaced; another one starts first worker=1 pid={second}\n")
    assert first in server.wait_children(2, without=[second])
    server.wait_log(rf"worker replaced worker=1 pid={second} reason=\"hostler ctl recycle\"")
    done = ctl(server, "recycle", "9")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, "hostler: worker 9 that is ready is not there")


def test_recycle_of_a_worker_that_is_being_replaced(serve: Serve) -> None:
    server = serve(version(serve, "v"))
    [old] = server.children()
    version(serve, "v", pause=2.0)
    assert ctl(server, "recycle", "0").returncode == 0
    assert ctl(server, "recycle", "0").stdout == f"worker is being replaced already worker=0 pid={old}\n"
    server.wait_children(1, without=[old])
    assert server.log.count(f'worker replaced worker=0 pid={old} reason="hostler ctl recycle"') == 1


def test_reload(serve: Serve) -> None:
    server = serve(version(serve, "old"))
    version(serve, "new")
    assert ctl(server, "reload").stdout.startswith("reloaded workers=")
    assert answer(server).startswith("new ")


def test_stop_waits_for_the_end(serve: Serve) -> None:
    server = serve(version(serve, "v"))
    done = ctl(server, "stop")
    assert (done.returncode, done.stdout) == (0, "stopped\n")
    assert done.stderr == f"hostler: ctl stop: pid={server.pid} app=app:application directory={serve.directory}\n"
    assert server.wait(within=2.0) == 0
    assert 'stopping; requests that run may end reason="hostler ctl stop"' in server.log


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["statsu"], 'unknown verb "statsu" - did you mean "status"?'),
        (["scale"], "scale needs the number of workers: hostler ctl scale 4"),
        (["scale", "0"], "scale needs the number of workers"),
        (["scale", "two"], "scale needs the number of workers"),
        (["recycle"], "recycle needs the number of a worker: hostler ctl recycle 0"),
        (["recycle", "first"], "recycle needs the number of a worker"),
        (["recycle", "0", "1"], 'unexpected "1": see hostler ctl --help'),
        (["stop", "now"], 'unexpected "now": see hostler ctl --help'),
        (["status", "--jsn"], 'unexpected "--jsn"'),
    ],
)
def test_wrong_words_are_one_line(serve: Serve, words: list[str], said: str) -> None:
    server = serve(version(serve, "v"))
    done = ctl(server, *words)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert said in done.stderr
    assert server.children()


def test_configuration_with_its_sources(serve: Serve) -> None:
    (serve.directory / "hostler.toml").write_text("keepalive = 9\n")
    server = serve(version(serve, "v"), "--workers", "2")
    lines = [line.split() for line in ctl(server, "config").stdout.splitlines()]
    assert ["workers", "2", "--workers"] in lines
    assert ["keepalive", "9s", "hostler.toml:1"] in lines
    assert ["preload", "off", "default"] in lines


def test_log_level_everywhere(serve: Serve) -> None:
    server = serve(version(serve, "v"))
    [worker] = server.children()

    def refuse() -> int:
        """How often it is in the log that nonsense was refused, once more nonsense has been."""
        with server.connect() as connection:
            assert connection.request(b"nonsense\r\n\r\n").status == 400
        return server.log.count("400 to 127.0.0.1")

    refuse()
    server.wait_log(rf"\[{worker}\] \[WARNING\] 400 to 127.0.0.1")
    assert ctl(server, "log-level", "error").stdout == "lines from error on are written\n"
    before = refuse()
    server.wait_for(lambda: refuse() == before or None, "silence")
    assert ctl(server, "log-level", "debug").returncode == 0
    server.wait_for(lambda: refuse() > before, "lines again")
    assert ctl(server, "reload").returncode == 0  # back to what is configured
    assert ctl(server, "log-level", "info").returncode == 0
    done = ctl(server, "log-level", "loud")
    assert done.returncode == 2
    assert done.stderr == "hostler: log-level needs one of debug, info, warning, error: hostler ctl log-level debug\n"


def test_status_is_shown_again_each_second(serve: Serve) -> None:
    server = serve(version(serve, "v"))
    command = [sys.executable, "-m", "hostler", "status", "--watch", "--json", "--pid", str(server.pid)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        seen = [json.loads(watching.stdout.readline()) for _ in range(2)]
        assert seen[1]["uptime"] > seen[0]["uptime"]
        server.stop()
        assert watching.wait(timeout=10) == 1
