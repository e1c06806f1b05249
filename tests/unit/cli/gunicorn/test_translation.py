"""gunicorn's command line, variable and file in hostler's options."""

from __future__ import annotations

import shlex
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from hostler.cli import main
from hostler.cli.gunicorn.reading import read
from hostler.cli.gunicorn.translation import Translated, address, settings_of, translate
from hostler.config import load
from hostler.config.address import TcpAddress, UnixAddress
from hostler.config.settings import Config
from hostler.errors import ConfigError


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def translated(line: str, **environ: str) -> Translated:
    return translate(read(shlex.split(line), environ))


def config(line: str, **environ: str) -> Config:
    given = translated(line, **environ)
    return load(given.assignments, environ, given.defaults)


def file(text: str, name: str = "gunicorn.conf.py") -> Path:
    path = Path(name)
    path.write_text(text)
    return path


def complaint(line: str, **environ: str) -> str:
    with pytest.raises(ConfigError) as caught:
        config(line, **environ)
    return caught.value.message


def test_commands_as_typed() -> None:
    first = config("FasterRunner.wsgi_docker -b 0.0.0.0 -w4 -k gevent")
    assert (str(first.app[0]), first.bind, first.workers, first.driver) == (
        "FasterRunner.wsgi_docker", (TcpAddress("0.0.0.0", 8000),), 4, "gevent",
    )  # fmt: skip
    second = config("--workers=9 server:app --bind 127.0.0.1:8000")
    assert (second.workers, second.threads, second.bind) == (9, 1, (TcpAddress("127.0.0.1", 8000),))
    third = config('--workers=9 --worker-class="meinheld.gmeinheld.MeinheldWorker" server:app --bind 127.0.0.1:8000')
    assert (third.workers, third.threads, third.driver) == (9, None, "threads")


def test_defaults_are_gunicorns_where_they_matter() -> None:
    plain = config("shop:app")
    assert [plain.threads, int(plain.request_timeout), int(plain.worker_timeout)] == [1, 30, 30]
    assert (plain.proxy_headers, plain.access_log, plain.workers) == ("scheme", None, 1)
    assert int(plain.keepalive) == 75


def test_precedence() -> None:
    file("workers = 2\nthreads = 5\nbind = ':1'\nkeepalive = 7\nwsgi_app = 'file:app'")
    found = config("-w 4", GUNICORN_CMD_ARGS="--threads 3 -w 3", PORT="9", WEB_CONCURRENCY="8")
    assert (found.workers, found.threads, found.bind[0], int(found.keepalive)) == (4, 3, TcpAddress("0.0.0.0", 1), 7)
    assert str(found.app[0]) == "file:app"
    assert str(config("line:app").app[0]) == "line:app"
    assert config("a:b", PORT="9", GUNICORN_CMD_ARGS="--bind :2").bind == (TcpAddress("0.0.0.0", 2),)


def test_platforms_are_weaker_than_all() -> None:
    found = config("a:b", PORT="9", WEB_CONCURRENCY="8", FORWARDED_ALLOW_IPS="*")
    assert (found.bind, found.workers, found.forwarded_allow_ips) == ((TcpAddress("0.0.0.0", 9),), 8, "*")


@pytest.mark.parametrize(
    ("line", "option", "value"),
    [
        ("-b :1 -b unix:/tmp/x", "bind", (TcpAddress("0.0.0.0", 1), UnixAddress("/tmp/x"))),
        ("--bind=[::1]:5", "bind", (TcpAddress("::1", 5),)),
        ("-t 0", "request_timeout", 0),
        ("-t90", "request_timeout", 90),
        ("--threads 4 -t 90", "worker_timeout", 90),
        ("-k gthread --threads 4", "threads", 4),
        ("-k uvicorn.workers.UvicornWorker", "interface", "asgi"),
        ("-k uvicorn.workers.UvicornWorker", "proxy_headers", "on"),
        ("-k uvicorn_worker.UvicornH11Worker", "loop", "asyncio"),
        ("-k asgi --asgi-loop uvloop --asgi-lifespan off", "lifespan", "off"),
        ("-k egg:gunicorn#gevent --worker-connections 50", "max_threads", 50),
        ("-k gevent --worker-connections 5000", "max_threads", 256),
        ("--max-requests 1000 --max-requests-jitter 50", "max_requests_jitter", 50),
        ("--graceful-timeout 5", "graceful_timeout", 5),
        ("--keep-alive 65", "keepalive", 65),
        ("--limit-request-line 0", "limit_request_line", 32768),
        ("--limit-request-field_size 65000", "limit_request_head", 65000),
        ("--preload", "preload", "on"),
        ("--reload --reload-extra-file a.html --reload-extra-file b.html", "reload_extra_files", ("a.html", "b.html")),
        ("-e A=1 -e B=x=y,z", "env", (("A", "1"), ("B", "x=y,z"))),
        ("-D", "daemon", "on"),
        ("-n shop", "proc_name", "shop"),
        ("-m 027", "umask", 0o027),
        ("-m 18", "umask", 0o22),
        ("-m 0o27", "umask", 0o27),
        ("--proxy-protocol -w 1", "proxy_protocol", "on"),
        ("--proxy-protocol v2 --proxy-allow-from 10.0.0.0/8", "proxy_allow_ips", "10.0.0.0/8"),
        ("--access-logfile - --error-logfile /tmp/e", "error_log", "/tmp/e"),
        ("--access-logfile -", "access_log", "-"),
        ("--log-level critical", "log_level", 40),
        ("--capture-output", "capture_output", "on"),
        ("--log-syslog", "syslog", "udp://localhost:514"),
        ("--log-syslog --log-syslog-to unix:///dev/log#dgram", "syslog", "unix:///dev/log#dgram"),
        ("--log-syslog --disable-redirect-access-to-syslog", "syslog_access", "off"),
        ("--log-syslog-to udp://x:1", "syslog", None),
        ("--statsd-host localhost:8125 --statsd-prefix shop --dogstatsd-tags a:1,b", "statsd_tags", ("a:1", "b")),
        ("--root-path /shop", "root_path", "/shop"),
        ("--no-control-socket", "control", None),
        ("--control-socket /run/shop.ctl", "control", "/run/shop.ctl"),
        ("--reuse-port", "reuse_port", "on"),
        ("--forwarded-allow-ips=*", "forwarded_allow_ips", "*"),
        ("--worker-conn 7", "worker_connections", 7),
        ("-DR", "daemon", "on"),
    ],
)  # fmt: skip
def test_settings(line: str, option: str, value: object) -> None:
    given = translated(f"{line} shop:app")
    assert Config([*given.defaults, *given.assignments]).values[option] == value


@pytest.mark.parametrize(
    ("text", "option", "value"),
    [
        ("bind = ['127.0.0.1:1', ':2']", "bind", (TcpAddress("127.0.0.1", 1), TcpAddress("0.0.0.0", 2))),
        ("bind = '127.0.0.1:1,:2'", "bind", (TcpAddress("127.0.0.1", 1), TcpAddress("0.0.0.0", 2))),
        ("import multiprocessing\nworkers = 2 * 3 + 1", "workers", 7),
        ("workers = '5'", "workers", 5),
        ("umask = 0o007", "umask", 0o007),
        ("daemon = 'true'", "daemon", "on"),
        ("raw_env = ['A=1']", "env", (("A", "1"),)),
        ("logconfig_dict = {'version': 1}", "log_config", {"version": 1}),
        ("logconfig_dict = {}", "log_config", None),
        ("tmp_upload_dir = '/tmp'", "temp_dir", "/tmp"),
        ("secure_scheme_headers = {}", "proxy_headers", "off"),
        ("secure_scheme_headers = {'X-FORWARDED-PROTO': 'https'}", "proxy_headers", "scheme"),
        ("accesslog = None\nerrorlog = '-'\npidfile = None", "access_log", None),
        ("forwarded_allow_ips = ['10.0.0.1', '10.0.0.2']", "forwarded_allow_ips", "10.0.0.1,10.0.0.2"),
        ("forwarded_allow_ips = ''", "forwarded_allow_ips", "unix"),
        ("proxy_allow_ips = []", "proxy_allow_ips", "unix"),
        ("_private = 1\nanything = object()\nworkers = 3", "workers", 3),
        ("from uvicorn_stand_in import UvicornWorker as worker_class", "interface", "asgi"),
    ],
)
def test_files(text: str, option: str, value: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = 'class UvicornWorker:\n    pass\n\nUvicornWorker.__module__ = "uvicorn.workers"\n'
    (tmp_path / "uvicorn_stand_in.py").write_text(stand_in)
    monkeypatch.syspath_prepend(tmp_path)
    file(text)
    assert config("shop:app").values[option] == value


def test_file_by_other_names(tmp_path: Path) -> None:
    file("workers = 3", "live.py")
    assert config("-c live.py a:b").workers == 3
    assert config("-c file:live.py a:b").workers == 3
    file("workers = 4", "settings_of_mine.py")
    assert config("a:b", GUNICORN_CMD_ARGS="-c python:settings_of_mine").workers == 4


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "the application is missing: hostler gunicorn [options] shop.wsgi:application"),
        ("--bogus a:b", 'gunicorn has no option "--bogus"'),
        ("--worker-clas a:b", "the application is missing: hostler gunicorn [options] shop.wsgi:application"),
        ("--wrokers 3 a:b", 'gunicorn has no option "--wrokers" - did you mean "--workers"?'),
        ("--limit-request 3 a:b", ('"--limit-request" may mean --limit-request-field_size, --limit-request-fields, '
         "--limit-request-line")),
        ("-Z a:b", 'gunicorn has no option "-Z"'),
        ("a:b -w", "-w needs a value: processes"),
        ("a:b -w many", '-w: "many" is not a whole number from 1 to 1000'),
        ("a:b -w -4", "-w needs a value: processes"),
        ("a:b --preload=yes", "--preload takes no value"),
        ("a:b -t soon", "-t: 'soon' is not a whole number >= 0"),
        ("a:b --certfile x.pem", "--certfile: TLS is a proxy's business: let nginx, Caddy or HAProxy end it"),
        ("a:b --protocol uwsgi", "--protocol: uwsgi packets are not understood"),
        ("a:b -k tornado", "-k tornado: Tornado applications are neither WSGI nor ASGI"),
        ("a:b -k gevnt", '-k: gunicorn has no worker class "gevnt"; there are sync, gthread, gevent, asgi'),
        ("--paste live.ini", "the application is missing: hostler gunicorn [options] shop.wsgi:application"),
        ("a:b -c none.py", '-c: there is no file "none.py"'),
        ("a:b --dirty-workers 2", "--dirty-workers: there are no dirty workers"),
    ],
)  # fmt: skip
def test_what_stops_the_start(line: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert complaint(line).startswith(said)
    assert main(["gunicorn", *shlex.split(line)]) == 2
    assert capsys.readouterr().err.startswith(f"hostler: {said}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("workers = (", "gunicorn.conf.py:1: SyntaxError: '(' was never closed"),
        ("a = 1\nworkers = cpus()", "gunicorn.conf.py:2: NameError: name 'cpus' is not defined"),
        (
            "import nothing_of_the_kind",
            "gunicorn.conf.py:1: ModuleNotFoundError: No module named 'nothing_of_the_kind'",
        ),
        ("import sys\nsys.exit('no')", "gunicorn.conf.py:2: SystemExit: no"),
        ("workers = 0", "gunicorn.conf.py: workers: 0 is not a whole number from 1 to 1000"),
        ("bind = 'unix:'", 'gunicorn.conf.py: bind: "unix:" is not an address'),
        ("daemon = 'perhaps'", "gunicorn.conf.py: daemon: 'perhaps' is neither true nor false"),
        ("keyfile = 'k'", "gunicorn.conf.py: keyfile: TLS is a proxy's business"),
        ("post_fork = 3", "gunicorn.conf.py: post_fork is not a function"),
        ("secure_scheme_headers = {'X-SSL': 'on'}", "the scheme is read from X-Forwarded-Proto alone, not from X-SSL"),
    ],
)
def test_broken_files(text: str, said: str) -> None:
    from hostler.hooks import Hooks
    from hostler.logs import Logs

    file(text)

    def start() -> None:
        found = config("a:b")
        assert found.hooks is not None
        Hooks(found.hooks, found.values, Logs())

    with pytest.raises(ConfigError) as caught:
        start()
    assert said in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--worker-tmp-dir /dev/shm", "--worker-tmp-dir changes nothing: a heartbeat is a number in shared memory"),
        ("--no-sendfile", "--no-sendfile changes nothing"),
        ("-k eventlet", "-k eventlet is not maintained any more: gevent's greenlets run it"),
        ("-k egg:meinheld#gunicorn_worker", "hostler's own threads run it"),
        ("-k app.workers.Mine", "app.workers.Mine: its own code does not run here"),
        ("-k gevent --worker-connections 1000", "256 requests run at once"),
    ],
)
def test_what_changes_nothing_is_told_once(line: str, said: str) -> None:
    [warning] = translated(f"{line} a:b").warnings
    assert said in warning


def test_what_is_as_usual_is_not_told() -> None:
    assert (
        translated("a:b --worker-tmp-dir '' --header-map drop --http-protocols h1 --proxy-protocol off").warnings == []
    )


@pytest.mark.parametrize(
    ("text", "ours"),
    [
        ("0.0.0.0", "0.0.0.0:8000"), ("tcp://1.2.3.4:5", "1.2.3.4:5"), ("unix:///run/a.sock", "unix:/run/a.sock"),
        ("[::]", "[::]:8000"), ("[::1]:80", "[::1]:80"), (":80", ":80"), ("fd://3", "fd://3"), ("80", "80"),
        ("unix:@name", "unix:@name"), ("localhost", "localhost:8000"),
    ],
)  # fmt: skip
def test_addresses(text: str, ours: str) -> None:
    assert address(text) == ours


def test_settings_for_hooks() -> None:
    file("threads = '3'\nraw_env = ['A=1', 'B=2']\ndef post_fork(server, worker): pass\nwhen_ready = None\n")
    given = read(["-w", "4", "a:b"], {})
    cfg: dict[str, Any] = settings_of(given)
    assert (cfg["workers"], cfg["threads"], cfg["timeout"], cfg["env"]) == (4, 3, 30, {"A": "1", "B": "2"})
    assert list(given.hooks) == ["post_fork"]


def test_config_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    file("def on_exit(server): pass\n")
    assert main(["gunicorn", "--print-config", "-w", "4", "a:b"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 120
    assert any(line.startswith("workers = 4 ") and line.endswith("# workers = 4") for line in lines)
    assert "on_exit = on_exit" in "\n".join(lines)


def test_check_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("shop.py").write_text("def application(environ, start_response): pass")
    assert main(["gunicorn", "--check-config", "shop"]) == 0
    assert main(["gunicorn", "--check-config", "nothing"]) == 4


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gunicorn", "--help"]) == 0
    text = capsys.readouterr().out
    assert "-w, --workers VALUE\n      processes" in text
    assert main(["gunicorn", "-v"]) == 0


UVICORN = """
    class UvicornWorker:
        CONFIG_KWARGS = {"loop": "auto", "http": "auto"}
"""
OWN_CLASSES = """
    from uvicorn_worker import UvicornWorker

    class Api(UvicornWorker):
        CONFIG_KWARGS = {
            "loop": "asyncio", "http": "h11", "lifespan": "off", "root_path": "/api", "ws_max_size": 1000,
            "ws_ping_interval": None, "proxy_headers": False, "log_config": "x.ini",
        }

    class Plain:
        pass
"""


@pytest.fixture
def own_classes(tmp_path: Path) -> None:
    file(textwrap.dedent(UVICORN), "uvicorn_worker.py")
    file(textwrap.dedent(OWN_CLASSES), "shopworkers.py")


@pytest.mark.usefixtures("own_classes")
def test_subclass_named_by_a_string_has_its_base_and_its_settings() -> None:
    found = config("-k shopworkers.Api shop:app")
    assert [found.interface, found.loop, found.lifespan, found.root_path] == ["asgi", "asyncio", "off", "/api"]
    assert [int(found.ws_max_size), float(found.ws_ping_interval), found.proxy_headers] == [1000, 0.0, "off"]
    [notice] = translated("-k shopworkers.Api shop:app").warnings
    assert "methods that it changes in UvicornWorker do not run here" in notice
    assert notice.endswith("nor do these of its CONFIG_KWARGS: log_config")


@pytest.mark.usefixtures("own_classes")
def test_command_line_is_stronger_than_a_subclass() -> None:
    assert config("-k shopworkers.Api --root-path /shop shop:app").root_path == "/shop"


@pytest.mark.usefixtures("own_classes")
def test_class_named_by_a_string_is_not_imported_into_this_process() -> None:
    config("-k shopworkers.Api shop:app")
    assert "shopworkers" not in sys.modules
    assert "uvicorn_worker" not in sys.modules


@pytest.mark.usefixtures("own_classes")
@pytest.mark.parametrize(
    ("name", "reason"),
    [("shopworkers.Plain", "run here; the"), ("shopworkers.Missing", "AttributeError"), ("none.W", "No module")],
)
def test_class_without_a_known_base_is_told_with_the_reason(name: str, reason: str) -> None:
    [notice] = translated(f"-k {name} shop:app").warnings
    assert notice.startswith(f"-k {name}: its own code does not run here")
    assert reason in notice


@pytest.mark.usefixtures("own_classes")
def test_class_in_another_directory_is_found_by_pythonpath_and_chdir(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "shopworkers.py").rename(elsewhere / "shopworkers.py")
    (tmp_path / "uvicorn_worker.py").rename(elsewhere / "uvicorn_worker.py")
    assert config(f"--chdir {elsewhere} -k shopworkers.Api shop:app").root_path == "/api"
    assert config(f"--pythonpath {elsewhere} -k shopworkers.Api shop:app").root_path == "/api"


@pytest.mark.parametrize(
    ("line", "mode"), [("", 0o777), ("-m 007", 0o770), ("--umask 0o27", 0o750), ("-m 22", 0o751), ("-m 0", 0o777)]
)
def test_unix_sockets_have_gunicorns_permissions(line: str, mode: int) -> None:
    assert config(f"-b unix:/tmp/shop.sock {line} shop:app").unix_mode == mode


def test_unix_socket_that_all_may_reach_is_told_once_with_the_remedy() -> None:
    [warning] = config("-b unix:/tmp/a.sock -b unix:/tmp/b.sock shop:app").warnings
    assert warning.startswith(
        "every user of this machine can connect to unix:/tmp/a.sock unix:/tmp/b.sock unix_mode=777"
    )
    assert "HOSTLER_UNIX_MODE=660" in warning
    assert not config("-b unix:/tmp/a.sock -m 0 shop:app").warnings
    assert not config("-b unix:/tmp/a.sock shop:app", HOSTLER_UNIX_MODE="660").warnings
    assert not config("-b 127.0.0.1:8000 shop:app").warnings


@pytest.mark.parametrize(
    ("line", "option", "value", "told"),
    [
        ("-t 100000", "request_timeout", 86400, "-t: 100000s is out of bounds here; 24h is used"),
        ("--graceful-timeout 999999", "graceful_timeout", 86400, "999999s is out of bounds here; 24h is used"),
        ("--threads 1000", "threads", 256, "--threads: 1000 is out of bounds here; 256 is used"),
        ("-w 5000", "workers", 1000, "-w: 5000 is out of bounds here; 1000 is used"),
        ("--limit-request-fields 0", "limit_request_fields", 32768, ""),
        ("--log-level trace", "log_level", 20, "--log-level: trace is no level; info is used"),
        ("--log-level notset", "log_level", 20, "notset is no level"),
        ("--log-level fatal", "log_level", 20, "fatal is no level"),
        ("--log-level CRITICAL", "log_level", 40, ""),
        ("--access-logformat '%(h)s %(D)'", "access_log_format", "%(h)s %(D)s", "%(D) is read as %(D)s"),
        (
            "--access-logformat '%(D)d|%(z)s|%({x-id}i)-10s'",
            "access_log_format",
            "%(D)s|-|%({x-id}i)s",
            "no atom %(z)s",
        ),
        ("--access-logformat '%(h)s\t%(s)s'", "access_log_format", "%(h)s\t%(s)s", ""),
        ("extra words", "workers", 1, "further arguments mean nothing, as under gunicorn: extra words"),
    ],
)
def test_what_gunicorn_takes_is_taken_with_a_word(line: str, option: str, value: object, told: str) -> None:
    found = config(f"shop:app {line}")
    given = found.values[option]
    assert (int(given) if isinstance(given, float) else given) == value
    warnings = translated(f"shop:app {line}").warnings
    assert any(told in warning for warning in warnings) if told else not warnings


@pytest.mark.parametrize(("text", "host"), [("0:8090", "0.0.0.0"), ("127.1:8090", "127.0.0.1"), ("127.1", "127.0.0.1")])
def test_short_addresses_are_read_as_the_resolver_reads_them(text: str, host: str) -> None:
    port = 8090 if ":" in text else 8000
    assert config(f"-b {text} shop:app").bind == (TcpAddress(host, port),)


def test_ssl_context_without_a_certificate_changes_nothing() -> None:
    file("def ssl_context(config, default):\n    return default()\n")
    [warning] = translated("shop:app").warnings
    assert warning.startswith("gunicorn.conf.py: ssl_context changes nothing")


def test_hook_may_be_named_by_a_string(tmp_path: Path) -> None:
    file("def ready(server):\n    pass\n", "shophooks.py")
    file("when_ready = 'shophooks.ready'\n")
    given = read(["shop:app"], {})
    assert given.hooks["when_ready"].__name__ == "ready"
    del sys.modules["shophooks"]
    file("when_ready = 'shophooks.gone'\n")
    with pytest.raises(ConfigError, match=r'when_ready: "shophooks\.gone" cannot be imported: AttributeError'):
        read(["shop:app"], {})


def test_class_of_gevent_websocket_is_told_where_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    line = "-k geventwebsocket.gunicorn.workers.GeventWebSocketWorker shop:app"
    assert not translated(line).warnings
    found = config(line)
    assert found.driver == "gevent"
    assert found.hooks is not None
    assert found.hooks.around is not None
    monkeypatch.setitem(sys.modules, "geventwebsocket", None)
    assert translated(line).warnings == ["-k: gevent-websocket is not installed: there is no wsgi.websocket"]
    assert found.hooks.around(len) is len
    assert config("-k gevent shop:app").hooks.around is None  # type: ignore[union-attr]
