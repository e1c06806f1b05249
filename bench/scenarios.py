"""The scenarios: which app, which request, which servers, and what is measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from bench.adapters import Peer
from bench.load import Request
from bench.probes import (
    Run,
    after_a_burst,
    at_rest,
    beside_others,
    echoes,
    under_load,
    while_waiting,
    with_idle_crowd,
    with_idle_sockets,
)

FILE_SIZE = 262_144
CLOSE = "Connection: close"
HELLO = Request(b"Hello, World!")
COOKIES = (
    "csrftoken=Yk2nq0r4N8h1Vd7sTfXwJbE3mLcAzUgo; sessionid=f6m2v9x4c7b1n8k3j5h0g2d4s6a8p1o3; theme=dark; "
    "_ga=GA1.1.1873465920.1719834502; consent=necessary%3Dtrue%26statistics%3Dfalse"
)
HORSES = Request(b"<td>Horse &lt;05&gt;</td>", whole=False)
BROWSER = Request(
    b"Hello, World!",
    headers=(
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
        "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
        "Accept-Language: en-GB,en;q=0.7,de;q=0.3",
        "Accept-Encoding: gzip, deflate, br, zstd",
        "Referer: http://localhost/stable/horses?page=2&order=name",
        f"Cookie: {COOKIES}",
        "Upgrade-Insecure-Requests: 1",
        "Sec-Fetch-Dest: document",
        "Sec-Fetch-Mode: navigate",
        "Sec-Fetch-Site: same-origin",
    ),
)


class Case(NamedTuple):
    """One way to start the server in a scenario; a scenario with two compares them on the same server."""

    name: str = "one"
    workers: int = 1
    cores: int = 1
    logged: bool = False


class Scenario(NamedTuple):
    """One question."""

    name: str
    title: str
    app: str
    request: Request
    raw: str = ""  # the raw server's mode; empty: it has no part in this scenario
    cases: tuple[Case, ...] = (Case(),)
    probe: Callable[[Run], dict[str, float]] = under_load
    table: str = "load"  # how report.py lays it out
    variants: bool = False  # every variant of every server, not only the best ones
    suits: Callable[[Peer], bool] = lambda peer: not peer.pool and not peer.asgi
    background: Request | None = None  # what others ask meanwhile
    least: float = 0  # seconds of one measurement: wrk does not count what is under way at its end
    postgres: bool = False  # the app needs the PostgreSQL server that postgres.py starts
    rounds: int = 100  # at most, where one round takes long and varies little

    def takes(self, peer: Peer, variants: bool) -> bool:
        """Whether this server has a part in the scenario; `variants`: also with other than its best settings."""
        if peer.name == "raw":
            return bool(self.raw)
        return (peer.primary or self.variants or variants) and self.suits(peer)


def _asgi(*names: str) -> Callable[[Peer], bool]:
    """ASGI servers with these names, or all of them; the raw loop takes part by itself."""
    return lambda peer: peer.asgi and (not names or peer.name in names or peer.distribution == "hostler")


WAIT = Request(b"horses: 6", whole=False, path="/wait", connections=100)
_LOG_CASES = (Case("off"), Case("on", logged=True))
_SCALE_CASES = (Case("one"), Case("two", workers=2, cores=2))

SCENARIOS: tuple[Scenario, ...] = (
    Scenario("hello", "Hello: 13 bytes, 64 keep-alive connections", "hello:app", HELLO, raw="hello", variants=True),
    Scenario("flask", "Flask's hello", "flask_hello:app", HELLO),
    Scenario("django", "Django page: sessions, CSRF, one query, two templates", "pages.wsgi:app", HORSES),
    Scenario(
        "post64k",
        "POST of 64 KB, read whole by the app",
        "upload:app",
        Request(b"65536", script="post64k.lua", body_size=65536),
        raw="post 65536",
    ),
    Scenario(
        "big1m",
        "Response of 1 MB from memory",
        "big:app",
        Request(b"x", whole=False, size=1_048_576, connections=16),
        raw="big 1048576",
    ),
    Scenario(
        "file",
        "File of 256 KB by wsgi.file_wrapper",
        "download:app",
        Request(b"\0", whole=False, size=FILE_SIZE, connections=16),
        raw="file download.bin",
    ),
    Scenario("browser", "Hello to a browser: 10 header lines with cookies", "hello:app", BROWSER, raw="hello"),
    Scenario(
        "close",
        "Hello, a new connection for each request",
        "hello:app",
        HELLO._replace(headers=(CLOSE,)),
        raw="close",
    ),
    Scenario(
        "log",
        "Hello with an access log to a file, against the same without",
        "hello:app",
        HELLO,
        cases=_LOG_CASES,
        table="log",
        suits=lambda peer: bool(peer.log) and not peer.pool and not peer.asgi,
    ),
    Scenario(
        "scale-hello",
        "Hello: two workers on two cores, against one on one",
        "hello:app",
        HELLO,
        cases=_SCALE_CASES,
        table="scale",
        suits=lambda peer: peer.workers and not peer.asgi,
    ),
    Scenario(
        "scale-django",
        "Django page: two workers on two cores, against one on one",
        "pages.wsgi:app",
        HORSES,
        cases=_SCALE_CASES,
        table="scale",
        suits=lambda peer: peer.workers and not peer.asgi,
    ),
    Scenario(
        "memory",
        "Memory of the process tree, hello, one worker, after 1,000 requests",
        "hello:app",
        HELLO,
        probe=at_rest,
        table="memory",
    ),
    Scenario(
        "idle",
        "Idle keep-alive connections",
        "hello:app",
        HELLO,
        raw="hello",
        probe=with_idle_crowd,
        table="idle",
        rounds=2,
    ),
    Scenario(
        "sleep100",
        "An app that sleeps 100 ms, 200 connections",
        "waiting:app",
        HELLO._replace(path="/sleep100", connections=200),
        probe=while_waiting,
        table="waiting",
        suits=lambda peer: peer.name == "hostler" or peer.pool >= 200,
        least=10,  # of 2 s, a server without any fault would show 95 % of the ideal
    ),
    Scenario(
        "auto",
        "Hello: threads that grow by themselves, against one thread",
        "hello:app",
        HELLO,
        suits=lambda peer: peer.name in ("hostler", "hostler-1"),
    ),
    Scenario(
        "beside-sleepers",
        "64 connections of hello while 8 others sleep 1 s",
        "waiting:app",
        HELLO,
        probe=beside_others,
        table="beside",
        suits=lambda peer: peer.name == "hostler" or peer.pool in (20, 40),
        background=HELLO._replace(path="/sleep1000", connections=8),
    ),
    Scenario(
        "beside-burners",
        "16 connections of hello while 4 others compute 50 ms for each request",
        "waiting:app",
        HELLO._replace(connections=16),
        probe=beside_others,
        table="beside",
        suits=lambda peer: peer.name == "hostler" or 0 < peer.pool <= 40,
        background=HELLO._replace(path="/burn50", connections=4),
    ),
    Scenario(
        "django-wait",
        "Django view with 3 SQLite queries and a wait of 20 ms, 100 connections",
        "pages.wsgi:app",
        WAIT,
        probe=while_waiting,
        table="waiting",
        suits=lambda peer: peer.name == "hostler" or peer.pool >= 8,
    ),
    Scenario(
        "django-wait-postgres",
        "The same with PostgreSQL and psycopg",
        "pages.wsgi:app",
        WAIT,
        probe=while_waiting,
        table="waiting",
        suits=lambda peer: peer.name == "hostler" or peer.pool >= 8,
        postgres=True,
    ),
    Scenario(
        "burst",
        "Memory and threads two minutes after 128 requests that sleep at once",
        "waiting:app",
        HELLO._replace(path="/sleep100", connections=128),
        probe=after_a_burst,
        table="burst",
        suits=lambda peer: peer.name == "hostler",
        rounds=1,
    ),
)


_UVICORN, _GRANIAN = "uvicorn-asgi", "granian-asgi"
_STREAMERS = (_UVICORN, _GRANIAN, "hypercorn-asgi")
SCENARIOS += (
    Scenario("asgi-hello", "ASGI hello: 13 bytes, 64 connections", "asgi:hello", HELLO, raw="hello", suits=_asgi()),
    Scenario(
        "asgi-post100",
        "ASGI: POST of 100 bytes whose app awaits receive()",
        "asgi:post",
        Request(b"100", script="post100.lua", body_size=100),
        suits=_asgi(_UVICORN, _GRANIAN),
    ),
    Scenario(
        "fastapi-json",
        "FastAPI: a route that returns a small dict",
        "fastapi_json:app",
        Request(b'"message":"Hello, World!"', whole=False),
        suits=_asgi(_UVICORN, _GRANIAN),
    ),
    Scenario(
        "asgi-sleep10",
        "ASGI: await asyncio.sleep(0.01), 500 connections",
        "asgi:sleep10",
        HELLO._replace(connections=500),
        suits=_asgi(*_STREAMERS),
        least=5,
    ),
    Scenario(
        "asgi-stream",
        "ASGI: a response of 10 MB in parts of 64 KB",
        "asgi:stream",
        Request(b"x", whole=False, size=10_485_760, connections=8),
        suits=_asgi(*_STREAMERS),
    ),
    Scenario(
        "asgi-upload",
        "ASGI: an upload of 10 MB, read in parts",
        "asgi:upload",
        Request(b"10485760", script="post10m.lua", body_size=10_485_760, connections=8),
        suits=_asgi(*_STREAMERS),
    ),
    Scenario(
        "ws-echo",
        "WebSocket echo of 100 bytes, 64 connections",
        "asgi:echo",
        HELLO,
        probe=echoes,
        suits=lambda peer: peer.asgi and peer.distribution in ("hostler", "uvicorn", "granian", "daphne"),
        variants=True,
    ),
    Scenario(
        "ws-idle",
        "Idle WebSockets through a Starlette app",
        "starlette_socket:app",
        HELLO,
        probe=with_idle_sockets,
        table="sockets",
        suits=_asgi(_UVICORN),
        rounds=1,
    ),
)


class UnknownScenario(Exception):
    """A name that fits no scenario."""


def choose(names: list[str]) -> list[Scenario]:
    """The scenarios with these names, in the table's order; all of them for no names."""
    known = [scenario.name for scenario in SCENARIOS]
    for name in names:
        if name not in known:
            raise UnknownScenario(f"no scenario {name!r}; there are: {', '.join(known)}")
    return [scenario for scenario in SCENARIOS if not names or scenario.name in names]
