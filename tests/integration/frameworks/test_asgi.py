"""ASGI frameworks as they are: FastAPI on Starlette, Litestar, Django, Channels with its layers, Socket.IO."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import socketio
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.integration.frameworks.conftest import APPS, Client
from tests.integration.helpers import Serve, Server
from tests.integration.helpers.redis import Redis, needs_redis

FILE = bytes(range(256)) * 12_000


def ws(server: Server, path: str) -> ClientConnection:
    return connect(server.url(path).replace("http:", "ws:"), open_timeout=10, close_timeout=10)


# --- FastAPI, Starlette ---


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def fastapi(server_of: Callable[..., Server], request: pytest.FixtureRequest) -> Server:
    return server_of("fastapi_app", "--loop", request.param, "--lifespan", "on")


def test_fastapi_routes(fastapi: Server, client: Client) -> None:
    browser = client(fastapi)
    found = browser.get("/async/7", params={"q": "ü"}).json()
    assert (found["number"], found["q"]) == (7, "ü")
    assert browser.get("/sync").json()["thread"] != found["thread"], "sync routes run in threads"
    assert browser.post("/items", json={"name": "x"}).json() == {"name": "x", "price": 1.5}
    assert browser.post("/items", json={}).status_code == 422
    assert browser.get("/state").json() == {"greeting": "hello from the lifespan", "client": "127.0.0.1"}
    assert browser.get("/fails").status_code == 500


def test_fastapi_bodies(fastapi: Server, client: Client) -> None:
    browser = client(fastapi)
    found = browser.post("/upload", files={"file": ("a.bin", FILE)}).json()
    assert found == {"name": "a.bin", "size": len(FILE), "digest": hashlib.sha256(FILE).hexdigest()}
    assert browser.get("/stream").text == "".join(f"data: {number}\n\n" for number in range(5))
    assert browser.get("/file").content == (APPS / "fastapi_app.py").read_bytes()
    assert browser.head("/file").status_code in (200, 405)


def test_fastapi_goes_on_behind_its_answer_and_stops_when_the_client_leaves(fastapi: Server, client: Client) -> None:
    browser = client(fastapi)
    assert browser.get("/background/work").json() == {"name": "work"}
    with browser.stream("GET", "/endless") as response:
        next(response.iter_raw())
    fastapi.wait_for(lambda: {"work", "endless"} <= set(browser.get("/done").json()), "both")


def test_fastapi_websockets(fastapi: Server, client: Client) -> None:
    with ws(fastapi, "/ws/ann") as socket:
        for said in ({"a": 1}, ["ü"] * 5000):
            socket.send(json.dumps(said))
            assert json.loads(socket.recv()) == {"name": "ann", "said": said}
        socket.close(4002, "bye")
    fastapi.wait_for(lambda: "closed 4002 bye" in client(fastapi).get("/done").json(), "the end")
    with pytest.raises(InvalidStatus, match="403"):
        ws(fastapi, "/ws/ann?token=wrong")


def test_the_lifespan_ends_with_the_server(serve: Serve) -> None:
    server = serve("fastapi_app:application", cwd=APPS)
    server.end()
    assert "the lifespan has ended" in server.log


# --- Litestar ---


def test_litestar(server_of: Callable[..., Server], client: Client) -> None:
    server = server_of("litestar_app")
    browser = client(server)
    assert browser.get("/hello", params={"name": "x"}).json() == {"hello": "x"}
    assert browser.post("/sum", json=[1, 2, 3]).json() == {"sum": 6}
    assert browser.get("/stream").text == "0\n1\n2\n"
    with ws(server, "/ws") as socket:
        socket.send("quiet")
        assert socket.recv() == "QUIET"
        with pytest.raises(ConnectionClosed, match=r"4000.*done"):
            socket.recv()


# --- Django, Channels ---


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    server = Redis(tmp_path_factory.mktemp("redis"))
    yield server
    server.end()


@pytest.fixture(scope="module")
def django(server_of: Callable[..., Server]) -> Server:
    return server_of("channels_site")


def test_django_by_asgi(django: Server, client: Client) -> None:
    browser = client(django)
    assert browser.get("/which").json() == {"kind": "asgi", "script": "", "path": "/which"}
    assert browser.get("/async").text == "async"
    assert browser.get("/stream").text == "0 1 2 3 "
    found = browser.post("/upload", files={"file": ("a.bin", FILE)}).json()
    assert found == {"size": len(FILE), "digest": hashlib.sha256(FILE).hexdigest()}


def test_channels_consumers(django: Server) -> None:
    with ws(django, "/echo") as socket:
        socket.send("text")
        assert socket.recv() == "text"
        socket.send(b"\0\xff")
        assert socket.recv() == b"\0\xff"


def chat(server: Server, client: Client) -> None:
    with ws(server, "/chat/ann") as ann, ws(server, "/chat/bob") as bob:
        assert json.loads(ann.recv()) == {"joined": "ann"}
        assert json.loads(bob.recv()) == {"joined": "bob"}
        ann.send("hello")
        assert (ann.recv(timeout=10), bob.recv(timeout=10)) == ("hello", "hello")
        assert client(server).get("/announce", params={"text": "news"}).text == "announced"
        assert (ann.recv(timeout=10), bob.recv(timeout=10)) == ("news", "news")


def test_channels_with_the_layer_in_memory(django: Server, client: Client) -> None:
    chat(django, client)


@needs_redis
def test_channels_with_redis_and_two_workers(serve: Serve, redis: Redis, client: Client) -> None:
    server = serve("channels_site:application", "--workers", "2", cwd=APPS, env={"REDIS_URL": redis.url})
    for _ in range(4):
        chat(server, client)


def test_one_port_serves_django_by_wsgi_and_websockets_by_channels(serve: Serve, client: Client) -> None:
    server = serve("channels_site:wsgi", "--app", "channels_site:application=websocket", cwd=APPS)
    browser = client(server)
    assert browser.get("/which").json()["kind"] == "wsgi"
    with ws(server, "/echo") as socket, httpx.Client(base_url=server.url(), trust_env=False, timeout=20) as slow:
        with slow.stream("GET", "/sleeps?seconds=0.5") as response:
            for number in range(20):
                socket.send(str(number))
                assert socket.recv(timeout=10) == str(number)
            assert response.status_code == 200
        assert browser.get("/which").json()["kind"] == "wsgi"
    assert httpx.get(server.url("/echo"), trust_env=False).status_code == 404


def test_apps_below_paths(serve: Serve, client: Client) -> None:
    options = ("--app", "channels_site:application@/live", "--app", "fastapi_app:application@/api/v1")
    server = serve("channels_site:wsgi", *options, cwd=APPS)
    browser = client(server)
    assert browser.get("/which").json() == {"kind": "wsgi", "script": "", "path": "/which"}
    assert browser.get("/live/which").json() == {"kind": "asgi", "script": "/live", "path": "/which"}
    assert browser.get("/api/v1/async/3").json()["number"] == 3
    assert browser.get("/api/v2").status_code == 404


def test_the_same_by_a_file(serve: Serve, tmp_path: Path, client: Client) -> None:
    text = (
        '[[app]]\ntarget = "channels_site:wsgi"\npath = "/shop"\n'
        '[[app]]\ntarget = "channels_site:application"\nprotocols = ["websocket"]\n'
    )
    (tmp_path / "hostler.toml").write_text(text)
    server = serve(None, "--chdir", str(APPS), cwd=tmp_path)
    assert client(server).get("/shop/which").json() == {"kind": "wsgi", "script": "/shop", "path": "/which"}
    assert client(server).get("/which").status_code == 404
    with ws(server, "/echo") as socket:
        socket.send("x")
        assert socket.recv() == "x"


# --- Socket.IO ---


@pytest.mark.parametrize("transports", [["websocket"], ["polling", "websocket"]])
def test_socketio(server_of: Callable[..., Server], transports: list[str]) -> None:
    server = server_of("socketio_app")

    async def talk() -> None:
        heard: asyncio.Queue[str] = asyncio.Queue()
        async with socketio.AsyncSimpleClient() as client:
            await client.connect(server.url("/"), transports=transports)
            assert await client.call("add", {"a": 2, "b": 3}) == 5
            await client.emit("shout", "hi")
            name, text = await client.receive(timeout=10)
            heard.put_nowait(text)
            assert (name, await heard.get()) == ("heard", "HI")

    asyncio.run(talk())
