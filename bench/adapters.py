"""The servers: how each is started with its best settings, and with the others worth knowing.

"Best" was found by measuring: the settings that cost the least processor time per request on one core. A variant that
is only interesting beside the best one has `primary=False` and is measured in the hello scenario alone.
"""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple


class Place(NamedTuple):
    """Where things are on this machine."""

    bin: Path  # the commands of the virtual environment
    apps: Path
    build: Path
    hostler: tuple[str, ...]  # the command to measure as hostler


class Plan(NamedTuple):
    """One start of one server."""

    app: str  # module:attribute
    port: int
    workers: int = 1
    log: Path | None = None  # where to write the access log; None for no log
    raw: str = ""  # what the raw server is asked to do
    crowd: int = 0  # connections that will be open at once, where they are more than any server's defaults allow

    @property
    def address(self) -> str:
        """host:port"""
        return f"127.0.0.1:{self.port}"


SPARE = 100
"""How far a limit on connections lies above the crowd."""

Command = Callable[[Place, Plan], list[str]]


class Peer(NamedTuple):
    """A server with settings."""

    name: str
    distribution: str  # its name for pip; empty for the raw server
    settings: str  # what differs from its defaults, for the tables
    command: Command
    log: str = ""  # where its access log can go: "file" or "stdout" (then a redirection makes the file)
    workers: bool = True  # it can run several
    primary: bool = True
    bridged: bool = False  # it speaks only ASGI: the app is wrapped by a2wsgi
    asgi: bool = False  # it runs ASGI apps: it takes part in those scenarios alone
    pool: int = 0  # its threads, where they were chosen for apps that wait: it takes part in those scenarios alone


def _raw(place: Place, plan: Plan) -> list[str]:
    return [str(place.build / "epoll"), str(plan.port), *plan.raw.split()]


def _hostler(*options: str) -> Command:
    def command(place: Place, plan: Plan) -> list[str]:
        log = ["--access-log", str(plan.log)] if plan.log else []
        where = ["--bind", plan.address, "--workers", str(plan.workers)]
        return [*place.hostler, "serve", plan.app, *where, *options, *log]

    return command


def _gunicorn(*options: str) -> Command:
    def command(place: Place, plan: Plan) -> list[str]:
        log = ["--access-logfile", str(plan.log)] if plan.log else []
        crowd = ["--worker-connections", str(plan.crowd + SPARE)] if plan.crowd else []
        where = ["-b", plan.address, "-w", str(plan.workers), "--no-control-socket"]
        return [str(place.bin / "gunicorn"), *where, *crowd, *options, *log, plan.app]

    return command


def _granian(*options: str) -> Command:
    def command(place: Place, plan: Plan) -> list[str]:
        log = ["--access-log"] if plan.log else ["--log-level", "warning"]
        limit = str(plan.crowd + SPARE)
        crowd = ["--backlog", limit, "--backpressure", limit] if plan.crowd else []
        where = ["--host", "127.0.0.1", "--port", str(plan.port), "--workers", str(plan.workers)]
        return [str(place.bin / "granian"), "--interface", "wsgi", *where, *crowd, *options, *log, plan.app]

    return command


def _launched(name: str) -> Command:
    def command(place: Place, plan: Plan) -> list[str]:
        start = [str(place.bin / "python"), str(place.apps / "launch.py")]
        return [*start, name, plan.app, str(plan.port), str(plan.workers)]

    return command


def _gthread(threads: int) -> Peer:
    options = ("-k", "gthread", "--threads", str(threads), "--keep-alive", "75", "--worker-connections", "2000")
    settings = f"gthread, --threads {threads}, --keep-alive 75, --worker-connections 2000, the C parser"
    name = f"gunicorn-gthread-{threads}"
    return Peer(name, "gunicorn", settings, _gunicorn(*options), workers=False, pool=threads)


def _granian_pool(threads: int) -> Peer:
    fixed = ("--runtime-mode", "mt", "--http", "1", "--no-ws", "--runtime-threads", "1")
    options = (*fixed, "--blocking-threads", str(threads), "--backpressure", "2000")
    name = f"granian-{threads}"
    return Peer(name, "granian", " ".join(options), _granian(*options), workers=False, pool=threads)


def _cheroot_pool(threads: int) -> Peer:
    settings = f"numthreads={threads}, timeout=75, keep_alive_conn_limit=20000"
    return Peer(f"cheroot-{threads}", "cheroot", settings, _launched(f"cheroot-{threads}"), workers=False, pool=threads)


def _uwsgi(listener: str, *options: str) -> Command:
    def command(place: Place, plan: Plan) -> list[str]:
        log = ["--logto", str(plan.log)] if plan.log else ["--disable-logging"]
        module, _, attribute = plan.app.partition(":")
        app = ["--module", module, "--callable", attribute, "--home", str(place.bin.parent)]
        common = ["--master", "--die-on-term", "--need-app", "--enable-threads", "--processes", str(plan.workers)]
        return [str(place.bin / "uwsgi"), listener, plan.address, *common, *app, *options, *log]

    return command


def _waitress(place: Place, plan: Plan) -> list[str]:
    crowd = ["--connection-limit", str(plan.crowd + SPARE), "--asyncore-use-poll"] if plan.crowd else []
    return [str(place.bin / "waitress-serve"), "--host", "127.0.0.1", "--port", str(plan.port), *crowd, plan.app]


def _uvicorn(place: Place, plan: Plan) -> list[str]:
    log = ["--access-log"] if plan.log else ["--no-access-log", "--log-level", "warning"]
    where = ["--host", "127.0.0.1", "--port", str(plan.port), "--workers", str(plan.workers)]
    speed = ["--loop", "uvloop", "--http", "httptools", "--lifespan", "off", "--timeout-keep-alive", "75"]
    return [str(place.bin / "uvicorn"), "--interface", "wsgi", *where, *speed, *log, plan.app]


def _hypercorn(place: Place, plan: Plan) -> list[str]:
    log = ["--access-logfile", str(plan.log)] if plan.log else []
    where = ["--bind", plan.address, "--workers", str(plan.workers), "--worker-class", "uvloop"]
    return [str(place.bin / "hypercorn"), *where, "--keep-alive", "75", *log, plan.app]


def _daphne(place: Place, plan: Plan) -> list[str]:
    log = ["--access-log", str(plan.log)] if plan.log else []
    return [str(place.bin / "daphne"), "-b", "127.0.0.1", "-p", str(plan.port), "-v", "0", *log, "bridge:app"]


def _hostler_asgi(loop: str) -> Command:
    rest = ("--lifespan", "off", "--ws-per-message-deflate", "off", "--worker-connections", "20000")
    return _hostler("--loop", loop, *rest)


def _uvicorn_asgi(ws: str) -> Command:
    def command(place: Place, plan: Plan) -> list[str]:
        where = ["--host", "127.0.0.1", "--port", str(plan.port), "--no-access-log", "--log-level", "warning"]
        speed = ["--loop", "uvloop", "--http", "httptools", "--lifespan", "off", "--timeout-keep-alive", "75"]
        sockets = ["--ws", ws, "--ws-per-message-deflate", "false"]
        return [str(place.bin / "uvicorn"), *where, *speed, *sockets, plan.app]

    return command


def _granian_asgi(place: Place, plan: Plan) -> list[str]:
    limit = str(max(plan.crowd, 2000) + SPARE)
    where = ["--host", "127.0.0.1", "--port", str(plan.port), "--log-level", "warning", "--no-access-log"]
    speed = ["--loop", "uvloop", "--http", "1", "--runtime-threads", "1", "--backlog", limit, "--backpressure", limit]
    return [str(place.bin / "granian"), "--interface", "asginl", *where, *speed, plan.app]


def _hypercorn_asgi(place: Place, plan: Plan) -> list[str]:
    options = ["--bind", plan.address, "--worker-class", "uvloop", "--keep-alive", "75"]
    return [str(place.bin / "hypercorn"), *options, plan.app]


def _daphne_asgi(place: Place, plan: Plan) -> list[str]:
    return [str(place.bin / "daphne"), "-b", "127.0.0.1", "-p", str(plan.port), "-v", "0", plan.app]


_GRANIAN_BEST = ("--http", "1", "--no-ws", "--blocking-threads", "1", "--runtime-threads", "1")

PEERS = (
    Peer("raw", "", "C, one epoll loop, no parsing: the limit", _raw, workers=False),
    Peer("hostler", "hostler", "defaults", _hostler(), log="file"),
    Peer("hostler-1", "hostler", "--threads 1", _hostler("--threads", "1"), log="file"),
    Peer("bjoern", "bjoern", "defaults", _launched("bjoern")),
    Peer("fastpysgi", "fastpysgi", "tcp_nodelay=1", _launched("fastpysgi")),
    Peer("fastwsgi", "fastwsgi", "defaults", _launched("fastwsgi"), workers=False),
    Peer(
        "granian",
        "granian",
        "--runtime-mode st --runtime-threads 1 --blocking-threads 1 --http 1 --no-ws",
        _granian("--runtime-mode", "st", *_GRANIAN_BEST),
        log="stdout",
    ),
    Peer(
        "granian-mt",
        "granian",
        "--runtime-mode mt --runtime-threads 1 --blocking-threads 1 --http 1 --no-ws",
        _granian("--runtime-mode", "mt", *_GRANIAN_BEST),
        log="stdout",
        primary=False,
    ),
    Peer("granian-defaults", "granian", "defaults", _granian(), log="stdout", primary=False),
    Peer(
        "uwsgi",
        "uWSGI",
        "--http11-socket --threads 64: one for each connection, or they wait for each other",
        _uwsgi("--http11-socket", "--threads", "64"),
        log="file",
    ),
    Peer(
        "uwsgi-close",
        "uWSGI",
        "--http-socket, which closes; --add-header 'Connection: close'",
        _uwsgi("--http-socket", "--add-header", "Connection: close"),
        log="file",
        primary=False,
    ),
    Peer("uwsgi-router", "uWSGI", "--http --http-keepalive", _uwsgi("--http", "--http-keepalive"), log="file"),
    Peer(
        "gunicorn-gthread",
        "gunicorn",
        "gthread, --threads 8, --keep-alive 75, the C parser (gunicorn_h1c)",
        _gunicorn("-k", "gthread", "--threads", "8", "--keep-alive", "75"),
        log="file",
    ),
    Peer(
        "gunicorn-gthread-py",
        "gunicorn",
        "gthread, --threads 8, --keep-alive 75, --http-parser python",
        _gunicorn("-k", "gthread", "--threads", "8", "--keep-alive", "75", "--http-parser", "python"),
        log="file",
        primary=False,
    ),
    Peer("gunicorn-sync", "gunicorn", "sync, the C parser (gunicorn_h1c)", _gunicorn("-k", "sync"), log="file"),
    Peer(
        "gunicorn-gevent",
        "gunicorn",
        "gevent, --keep-alive 75, the C parser (gunicorn_h1c)",
        _gunicorn("-k", "gevent", "--keep-alive", "75"),
        log="file",
    ),
    Peer(
        "cheroot",
        "cheroot",
        "numthreads=1, timeout=75, keep_alive_conn_limit=20000",
        _launched("cheroot"),
        workers=False,
    ),
    Peer("waitress", "waitress", "defaults", _waitress, workers=False),
    Peer("uvicorn", "uvicorn", "--interface wsgi, uvloop, httptools", _uvicorn, log="stdout"),
    Peer("hypercorn", "hypercorn", "uvloop", _hypercorn, log="file", primary=False),
    Peer(
        "daphne",
        "daphne",
        "the app through a2wsgi",
        _daphne,
        log="file",
        workers=False,
        primary=False,
        bridged=True,
    ),
    Peer("hostler-asgi", "hostler", "--loop uvloop", _hostler_asgi("uvloop"), asgi=True),
    Peer("hostler-asgi-asyncio", "hostler", "--loop asyncio", _hostler_asgi("asyncio"), asgi=True, primary=False),
    Peer(
        "uvicorn-asgi",
        "uvicorn",
        "uvloop, httptools, websockets",
        _uvicorn_asgi("websockets"),
        asgi=True,
        workers=False,
    ),
    Peer(
        "uvicorn-asgi-wsproto",
        "uvicorn",
        "uvloop, httptools, wsproto",
        _uvicorn_asgi("wsproto"),
        asgi=True,
        workers=False,
        primary=False,
    ),
    Peer("granian-asgi", "granian", "uvloop, --http 1 --runtime-threads 1", _granian_asgi, asgi=True, workers=False),
    Peer("fastpysgi-asgi", "fastpysgi", "tcp_nodelay=1", _launched("fastpysgi"), asgi=True, workers=False),
    Peer("hypercorn-asgi", "hypercorn", "uvloop", _hypercorn_asgi, asgi=True, workers=False),
    Peer("daphne-asgi", "daphne", "defaults", _daphne_asgi, asgi=True, workers=False),
    *(_gthread(threads) for threads in (2, 4, 8, 20, 40, 100, 200)),
    *(_granian_pool(threads) for threads in (8, 20, 40, 100, 200)),
    *(_cheroot_pool(threads) for threads in (8, 20, 40, 100, 200)),
    Peer(
        "gunicorn-gevent-pool",
        "gunicorn",
        "gevent, --keep-alive 75, --worker-connections 2000, the C parser",
        _gunicorn("-k", "gevent", "--keep-alive", "75", "--worker-connections", "2000"),
        workers=False,
        pool=2000,
    ),
)


class UnknownPeer(Exception):
    """A name that fits no server."""


def choose(patterns: list[str]) -> list[Peer]:
    """The peers with these names, in the table's order; `granian*` fits all its variants, no pattern fits all."""
    for pattern in patterns:
        if not any(fnmatchcase(peer.name, pattern) for peer in PEERS):
            raise UnknownPeer(f"no server {pattern!r}; there are: {', '.join(peer.name for peer in PEERS)}")
    return [peer for peer in PEERS if not patterns or any(fnmatchcase(peer.name, pattern) for pattern in patterns)]
