"""`hostler stacks` and the control socket behind it."""

from __future__ import annotations

import json
import os
import socket
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.helpers import Serve, Server
from tests.integration.helpers.commands import stacks

APP = """
    import ctypes
    import os
    import threading
    import time

    def patient_view(seconds):
        time.sleep(seconds)

    def waiting_view(go):
        while not os.path.exists(go):
            time.sleep(0.005)

    def background():
        threading.Event().wait()

    threading.Thread(target=background, name="the-apps-own", daemon=True).start()

    def application(environ, start_response):
        path, query = environ["PATH_INFO"], environ["QUERY_STRING"]
        if path == "/sleep":
            patient_view(float(query))
        elif path == "/wait":
            waiting_view("go")
        elif path == "/native":
            ctypes.PyDLL(None).sleep(int(query))
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
        return [b"ok"]
"""


def get(target: str) -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


@pytest.fixture
def start(serve: Serve) -> Callable[..., Server]:
    target = serve.source(APP)
    return lambda *options: serve(target, *options)


def test_the_stacks_of_requests_that_run_and_of_the_apps_own_threads(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    server = start("--threads", "3")
    with server.connect() as one, server.connect() as other:
        one.send(get("/wait?first"))
        server.wait_for(lambda: "?first" in stacks("--pid", str(server.pid)).stdout, "the first request")
        other.send(get("/wait?second"))
        server.wait_for(lambda: "?second" in stacks("--pid", str(server.pid)).stdout, "the second request")
        found = stacks("0", "--pid", str(server.pid))
        assert found.returncode == 0
        assert found.stdout.startswith(f"worker 0 (pid {server.children()[0]})\n")
        first, second = found.stdout.index("GET /wait?first from 127.0.0.1:"), found.stdout.index("/wait?second")
        assert first < second, "the oldest comes first"
        assert found.stdout.count("in waiting_view\n    ") == 2
        assert "thread the-apps-own (" in found.stdout
        assert "1 idle app thread\n" in found.stdout
        assert "_bootstrap" not in found.stdout
        (tmp_path / "go").touch()
        assert one.response().body == b"ok", "no request was stopped"
        assert other.response().body == b"ok"


def test_while_native_code_keeps_the_lock_the_stacks_come_from_outside(start: Callable[..., Server]) -> None:
    server = start()
    with server.connect(timeout=20) as connection:
        connection.send(get("/native?4"))
        server.wait_for(lambda: "/native?4" in stacks("--pid", str(server.pid)).stdout, "the stacks")
        assert connection.response().body == b"ok"


def test_greenlets_have_stacks_too(start: Callable[..., Server]) -> None:
    pytest.importorskip("gevent")
    server = start("--driver", "gevent")
    with server.connect() as connection:
        connection.send(get("/sleep?2"))
        server.wait_for(lambda: "in patient_view" in stacks("--pid", str(server.pid)).stdout, "the greenlet")
        assert connection.response().body == b"ok"


def test_complaints(start: Callable[..., Server], tmp_path: Path) -> None:
    server = start("--workers", "2")
    pid = str(server.pid)
    for arguments, code, complaint in (
        (("7", "--pid", pid), 1, "worker 7 that is ready is not there"),
        (("--pid", "1"), 1, "no server with process id 1 has a control socket here"),
        (("--pid", "x"), 2, '--pid: "x" is not a process id'),
        (("--pid",), 2, "--pid needs a value"),
        (("--colour",), 2, 'unexpected "--colour": see hostler stacks --help'),
        (("--control", str(tmp_path / "none")), 1, "cannot be asked: No such file or directory"),
    ):
        found = stacks(*arguments)
        assert (found.returncode, found.stdout) == (code, "")
        assert complaint in found.stderr
        assert len(found.stderr.splitlines()) == 1


def test_with_several_servers_one_says_which(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    env = {"XDG_RUNTIME_DIR": str(tmp_path / "run")}
    target = serve.source(APP)
    servers = [serve(target, env=env) for _ in range(2)]
    found = stacks(env=os.environ | env)
    assert found.returncode == 1
    assert "several servers run here: say which by --pid: " in found.stderr
    assert all(str(server.pid) in found.stderr for server in servers)
    assert str(tmp_path) in found.stderr
    servers[0].process.terminate()
    servers[0].wait_log("stopped")
    servers[0].process.wait(10)
    assert stacks("--pid", str(servers[0].pid), env=os.environ | env).returncode == 1
    assert stacks("--pid", str(servers[1].pid), env=os.environ | env).stdout.startswith("worker 0 ")


def test_the_socket_is_ours_alone_and_goes_with_us(start: Callable[..., Server], tmp_path: Path) -> None:
    server = start("--control", "control.sock")
    path = tmp_path / "control.sock"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stacks("--control", str(path)).returncode == 0
    server.process.terminate()
    server.process.wait(10)
    assert not path.exists()


def test_a_socket_that_was_deleted_comes_back(start: Callable[..., Server], tmp_path: Path) -> None:
    server = start("--control", "control.sock", "--worker-timeout", "1")
    path = tmp_path / "control.sock"
    path.unlink()
    server.wait_log("control socket was deleted; it is there again path=")
    assert stacks("--control", str(path)).returncode == 0


def test_the_socket_of_a_killed_server_is_no_hindrance(start: Callable[..., Server], tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "control.sock"))
    start("--control", "control.sock")
    assert stacks("--control", str(tmp_path / "control.sock")).returncode == 0


@pytest.mark.parametrize("name", ["taken.sock", "@hostler-test-PID"])
def test_a_name_that_another_server_has_stops_the_start(serve: Serve, name: str) -> None:
    name = name.replace("PID", str(os.getpid()))
    first = serve(serve.source(APP), "--control", name)
    second = serve(serve.source(APP), "--control", name, ready=False)
    assert second.wait() == 1
    assert f"(pid {first.pid}) listens there already" in second.log
    control = name if name.startswith("@") else str(serve.directory / name)
    assert stacks("--control", control).returncode == 0


@pytest.mark.parametrize("path", ["x" * 120, "no/such/directory/control.sock", "/proc/control.sock"])
def test_a_socket_that_cannot_be_had_is_a_warning(serve: Serve, path: str) -> None:
    server = serve(serve.source(APP), "--control", path)
    server.wait_log(r"WARNING\] no control socket; this server cannot be asked control=")
    with server.connect() as connection:
        assert connection.request(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").status == 200


def test_by_default_there_is_no_file(serve: Serve, tmp_path: Path) -> None:
    env = {"XDG_RUNTIME_DIR": str(tmp_path / "run"), "TMPDIR": str(tmp_path / "run")}
    (tmp_path / "run").mkdir()
    server = serve(serve.source(APP), env=env)
    assert f"@hostler/{os.geteuid()}/{server.pid}" in Path("/proc/net/unix").read_text()
    assert stacks("--pid", str(server.pid)).returncode == 0
    assert list((tmp_path / "run").iterdir()) == []


def test_a_file_that_is_deleted_is_there_again_within_a_second(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    server = serve(serve.source(APP), "--control", str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.unlink()
    server.wait_for(path.exists, "the socket", within=1.5)
    assert stacks("--control", str(path)).returncode == 0


@pytest.mark.parametrize("line", [b"stacks\n", b"{}\n", b'{"ask": []}\n', b'{"ask": [1]}\n', b'{"ask": "status"}\n'])
def test_what_is_no_question(serve: Serve, tmp_path: Path, line: bytes) -> None:
    serve(serve.source(APP), "--control", str(tmp_path / "control.sock"))
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        sock.connect(str(tmp_path / "control.sock"))
        sock.sendall(line)
        answer = b"".join(iter(lambda: sock.recv(4096), b""))
    assert json.loads(answer) == {"ok": False, "error": 'not a question: {"ask": ["status"]} is one'}


def test_without_a_place_for_it_the_server_serves_all_the_same(serve: Serve, tmp_path: Path) -> None:
    server = serve(serve.source(APP), "--control", "off")
    found = stacks("--pid", str(server.pid))
    assert found.returncode == 1


def test_rubbish_on_the_socket_does_no_harm(start: Callable[..., Server], tmp_path: Path) -> None:
    server = start("--control", "control.sock")
    path = str(tmp_path / "control.sock")
    kept = []
    for data in (
        b"",
        b"stacks",
        b"\0\xff\n",
        b"x" * 5000,
        b"GET / HTTP/1.1\r\n\r\n",
        b"stacks 0 1\n",
        b"stacks \n" * 9,
    ):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(path)
        sock.sendall(data)
        kept.append(sock)
    for _ in range(40):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(path)
            sock.sendall(b"stacks\n")
    began = time.monotonic()
    server.wait_for(lambda: stacks("--control", path).returncode == 0, "an answer")
    assert time.monotonic() - began < 10
    with server.connect() as connection:
        assert connection.request(get("/")).body == b"ok"
    for sock in kept:
        sock.close()
    assert "ERROR" not in server.log
