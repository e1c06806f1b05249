"""Logs and numbers on their way to those who gather them: logging, syslog, StatsD."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.helpers import Serve, Server, free_port
from tests.integration.helpers.serve import HELLO
from tests.integration.helpers.versions import answer, reload

JSON = {
    "version": 1,
    "formatters": {"line": {"format": "%(name)s %(levelname)s %(message)s"}},
    "handlers": {"file": {"class": "logging.FileHandler", "filename": "all.log", "formatter": "line"}},
    "loggers": {
        "hostler.error": {"handlers": ["file"], "level": "INFO"},
        "hostler.access": {"handlers": ["file"], "level": "INFO"},
        "shop": {"handlers": ["file"], "level": "INFO"},
    },
}
INI = """\
[loggers]
keys = root, gunicorn.error
[handlers]
keys = file
[formatters]
keys = line
[logger_root]
handlers = file
level = INFO
[logger_gunicorn.error]
qualname = gunicorn.error
handlers = file
propagate = 0
[handler_file]
class = FileHandler
formatter = line
args = ("all.log",)
[formatter_line]
format = %(name)s %(levelname)s %(message)s
"""
APP = """
    import logging

    def application(environ, start_response):
        logging.getLogger("shop").info("asked for %s", environ["PATH_INFO"])
        start_response("200 OK", [("Content-Length", "5")])
        return [b"hello"]
"""


def lines(serve: Serve) -> list[str]:
    path = serve.directory / "all.log"
    return path.read_text().splitlines() if path.exists() else []


def wait_line(server: Server, serve: Serve, start: str) -> None:
    server.wait_for(lambda: any(line.startswith(start) for line in lines(serve)), start)


def ready(serve: Serve, *options: str, app: str = APP) -> Server:
    """A server whose error log goes elsewhere."""
    port = free_port()
    server = serve(serve.source(app), *options, bind=f"127.0.0.1:{port}", ready=False)
    wait_line(server, serve, "")
    server.log_path.write_text(f"listening on http://127.0.0.1:{port} \n")
    return server


def ask(server: Server, path: str) -> bytes:
    with server.connect() as connection:
        return connection.request(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()).body


@pytest.mark.parametrize("options", [(), ("--preload",), ("--driver", "gevent")])
def test_logging_by_json(serve: Serve, options: tuple[str, ...]) -> None:
    (serve.directory / "log.json").write_text(json.dumps(JSON))
    server = ready(serve, "--log-config", "log.json", *options)
    wait_line(server, serve, "hostler.error INFO hostler 0.1.0 listening on http://")
    assert answer(server) == "hello"
    wait_line(server, serve, "shop INFO asked for /")
    wait_line(server, serve, "hostler.access INFO 127.0.0.1 - - [")
    (serve.directory / "all.log").rename(serve.directory / "all.log.1")
    server.kill(signal.SIGUSR1)
    server.wait_for(lambda: answer(server) and lines(serve), "the new file")
    server.stop()
    assert any("hostler.error INFO stopped" in line for line in lines(serve))


RAISES = """
import logging

class Raises(logging.Filter):
    def filter(self, record):
        if "lost" in record.getMessage():
            raise ValueError("a filter's own fault")
        return True
"""


@pytest.mark.parametrize("options", [(), ("--preload",), ("--driver", "gevent")])
def test_filter_that_raises_costs_its_lines_and_no_process(serve: Serve, options: tuple[str, ...]) -> None:
    table = json.loads(json.dumps(JSON))
    table["filters"] = {"raises": {"()": "raises.Raises"}}
    table["handlers"]["file"]["filters"] = ["raises"]
    (serve.directory / "raises.py").write_text(RAISES)
    (serve.directory / "log.json").write_text(json.dumps(table))
    server = ready(serve, "--log-config", "log.json", *options, app=HELLO)
    workers = server.children()
    for _ in range(3):
        assert ask(server, "/lost") == b"hello"
    assert ask(server, "/found") == b"hello"
    server.wait_for(lambda: any("GET /found" in line for line in lines(serve)), "what comes after lost lines")
    assert not any("lost" in line for line in lines(serve))
    assert server.children() == workers
    assert reload(server).returncode == 0
    assert answer(server) == "hello"


def test_log_directory_that_is_gone_costs_lines_and_no_process(serve: Serve) -> None:
    """WatchedFileHandler raises out of emit() when it cannot open its file."""
    (serve.directory / "log").mkdir()
    table = json.loads(json.dumps(JSON))
    table["handlers"]["file"].update({"class": "logging.handlers.WatchedFileHandler", "filename": "log/all.log"})
    (serve.directory / "log.json").write_text(json.dumps(table))
    (serve.directory / "all.log").symlink_to("log/all.log")
    server = ready(serve, "--log-config", "log.json", app=HELLO)
    (serve.directory / "log").rename(serve.directory / "gone")
    server.kill(signal.SIGUSR1)
    assert "No such file or directory: 'log'" in reload(server).stderr
    for _ in range(3):
        assert ask(server, "/lost") == b"hello"
    server.wait_log(r"hostler: access_log: logging raised FileNotFoundError: .*; lines are lost until it does not")
    (serve.directory / "log").mkdir()
    assert ask(server, "/found") == b"hello"
    server.wait_for(lambda: any("GET /found" in line for line in lines(serve)), "what comes after lost lines")
    assert server.stop() == 0


def test_logging_by_ini(serve: Serve) -> None:
    (serve.directory / "log.ini").write_text(INI)
    server = ready(serve, "--log-config", "log.ini", "--access-log", "access.log")
    wait_line(server, serve, "gunicorn.error INFO hostler 0.1.0 listening on http://")
    assert answer(server) == "hello"
    wait_line(server, serve, "shop INFO asked for /")
    server.wait_for(lambda: "GET / HTTP/1.1" in (serve.directory / "access.log").read_text(), "the access log's file")
    assert not any("GET / " in line for line in lines(serve))


def test_logging_by_a_table_and_a_reload(serve: Serve) -> None:
    def write(level: str) -> None:
        table = f'[log_config.loggers."hostler.error"]\nhandlers = ["error_console"]\nlevel = "{level}"\n'
        (serve.directory / "hostler.toml").write_text(table)

    write("INFO")
    server = serve(serve.source(HELLO))
    assert "[INFO] hostler 0.1.0 listening on" in server.log
    write("NO SUCH LEVEL")
    done = reload(server)
    assert done.returncode == 1
    assert "it is not a configuration for logging" in done.stderr
    assert answer(server) == "hello"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("none.json", None, 'log_config: "none.json": No such file or directory'),
        ("log.json", "{", "it is not a configuration for logging: "),
        ("log.json", '{"handlers": {"x": {"class": "no.Such"}}}', "it is not a configuration for logging: "),
        ("log.ini", "x", "it is not a configuration for logging: "),
    ],
)
def test_logging_that_is_none(serve: Serve, name: str, text: str | None, said: str) -> None:
    if text is not None:
        (serve.directory / name).write_text(text)
    server = serve(serve.source(HELLO), "--log-config", name, ready=False)
    assert server.wait() == 2
    [line] = server.log.splitlines()
    assert line.startswith("hostler: --log-config: ")
    assert said.removeprefix("log_config: ") in line


class Receiver:
    """A socket that collects datagrams."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        sock.settimeout(10)
        self.text = ""

    def wait(self, part: str) -> str:
        while part not in self.text:
            self.text += self.sock.recv(65536).decode() + "\n"
        return self.text


@pytest.fixture
def udp() -> Iterator[Receiver]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        yield Receiver(sock)


def test_syslog(serve: Serve, udp: Receiver) -> None:
    where = f"udp://127.0.0.1:{udp.sock.getsockname()[1]}"
    options = ("--syslog", where, "--syslog-prefix", "shop", "--syslog-facility", "local3")
    server = serve(serve.source(HELLO), *options, "--access-log", "-")
    text = udp.wait("listening on")
    assert text.startswith(f"<158>shop.error: [{server.pid}] hostler 0.1.0 listening on")  # 19 * 8 + 6
    assert answer(server) == "hello"
    udp.wait("] 127.0.0.1 - - [")
    udp.wait('"GET / HTTP/1.1" 200 5')
    server.wait_log('"GET / HTTP/1.1" 200 5')  # the file has it too


def test_syslog_by_a_unix_socket_without_the_access_log(serve: Serve, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "log"))
        receiver = Receiver(sock)
        options = ("--syslog", f"unix://{tmp_path}/log#dgram", "--no-syslog-access")
        server = serve(serve.source(HELLO), *options)
        assert answer(server) == "hello"
        server.stop()
        assert "hostler.error: " in receiver.wait("stopped")
        assert "GET /" not in receiver.text


def test_syslog_that_is_not_there(serve: Serve) -> None:
    server = serve(serve.source(HELLO), "--syslog", "unix:///nowhere/log", ready=False)
    assert server.wait() == 1
    assert "hostler: --syslog: unix:///nowhere/log: No such file or directory" in server.log


def test_statsd(serve: Serve, udp: Receiver) -> None:
    where = f"127.0.0.1:{udp.sock.getsockname()[1]}"
    options = ("--statsd", where, "--statsd-prefix", "shop", "--statsd-tags", "env:test,zone:a", "--workers", "2")
    server = serve(serve.source(HELLO), *options)
    for _ in range(5):
        assert answer(server) == "hello"
    text = udp.wait("request.duration")
    assert "shop.gunicorn.workers:2|g|#env:test,zone:a\n" in text
    assert "shop.gunicorn.backlog:0|g|#env:test,zone:a\n" in text
    counted = [line for line in text.splitlines() if line.startswith("shop.gunicorn.requests:")]
    assert sum(int(line.split(":")[1].partition("|")[0]) for line in counted) in range(1, 6)
    assert "shop.gunicorn.request.status.2xx:" in text


def test_statsd_counts_nothing_twice_over_a_reload(serve: Serve, udp: Receiver) -> None:
    server = serve(serve.source(HELLO), "--statsd", f"127.0.0.1:{udp.sock.getsockname()[1]}")
    for _ in range(5):
        answer(server)
    server.wait_for(lambda: "requests:" in udp.wait("gunicorn.requests:"), "the count")
    assert reload(server).returncode == 0
    udp.text = udp.text.replace("gunicorn.workers:", "")
    for _ in range(3):  # three packets more
        udp.wait("gunicorn.workers:")
        udp.text = udp.text.replace("gunicorn.workers:", "", 1)
    counted = [int(part.partition("|")[0]) for part in udp.text.split("gunicorn.requests:")[1:]]
    assert sum(counted) == 5


def test_statsd_whose_host_is_not_known_keeps_no_site_from_serving_and_is_found_at_a_reload(serve: Serve) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.settimeout(30)
        config = serve.directory / "hostler.toml"
        config.write_text('statsd = "no.such.host.invalid:8125"\nworkers = 1\n')
        server = serve(serve.source(HELLO))
        server.wait_log("StatsD host not known; no metrics until a reload finds it statsd=no.such.host.invalid:8125")
        assert answer(server) == "hello"
        config.write_text(f'statsd = "127.0.0.1:{listening.getsockname()[1]}"\nworkers = 1\n')
        assert reload(server).returncode == 0
        assert b"gunicorn.workers:1|g" in listening.recv(65536)


def test_lines_of_the_core_and_of_wsgi_errors_go_to_logging_too(serve: Serve) -> None:
    (serve.directory / "log.json").write_text(json.dumps(JSON))
    app = """
        def application(environ, start_response):
            print("said to wsgi.errors", file=environ["wsgi.errors"])
            start_response("200 OK", [("Content-Length", "5")])
            return [b"hello"]
    """
    server = ready(serve, "--log-config", "log.json", app=app)
    with server.connect() as connection:
        assert connection.request(b"nonsense\r\n\r\n").status == 400
    wait_line(server, serve, "hostler.error WARNING 400 to 127.0.0.1")
    assert answer(server) == "hello"
    wait_line(server, serve, "hostler.error ERROR said to wsgi.errors")


def test_statsd_that_is_not_there(serve: Serve) -> None:
    server = serve(serve.source(HELLO), "--statsd", "unix:///nowhere/statsd")
    server.wait_log(
        'StatsD not reached; what is counted now is lost statsd=/nowhere/statsd reason="No such file or directory"'
    )
    assert answer(server) == "hello"
