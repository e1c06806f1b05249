"""`wsgi.file_wrapper` with everything that can be wrapped: the bytes that read() gives, each file closed once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.apps.files import CONTENT, KINDS, LARGE, MADE
from tests.integration.helpers import Connection, Response, Serve, Server

# By what is not all of CONTENT.
EXPECTED = {
    "read-before": CONTENT[1000:],
    "raw-sought": CONTENT[1000:],
    "at-its-end": b"",
    "beyond-its-end": b"",
    "changing": CONTENT.replace(b"a", b"A"),
    "pipe": CONTENT[:5000],
}
GOOD = [name for name in KINDS if name not in ("broken", "text")]
WITHOUT_CLOSE = ("reader", "lying")
# The kernel sends these, so their length is known; all others are read in blocks.
SENT_BY_THE_KERNEL = {
    *("buffered", "raw", "raw-sought", "read-before", "random", "unnamed", "named"),
    *("at-its-end", "beyond-its-end"),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("files")
    serve = Serve(directory)
    server = serve("files:application", "--pythonpath", str(Path(__file__).parent / "apps"))
    yield server
    server.end()


@pytest.fixture
def connection(server: Server) -> Iterator[Connection]:
    with server.connect() as connection:
        yield connection


def ask(connection: Connection, target: str, method: str = "GET") -> Response:
    message = f"{method} /{target} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    return connection.request(message, head=method == "HEAD")


def count_closed(connection: Connection, name: str) -> int:
    return ask(connection, "closed").body.split().count(name.encode())


def wait_closed(server: Server, connection: Connection, name: str, count: int) -> None:
    if name not in WITHOUT_CLOSE:
        server.wait_for(lambda: count_closed(connection, name) >= count, f"close() of {name}")
        assert count_closed(connection, name) == count


@pytest.mark.parametrize("name", GOOD)
def test_the_client_gets_what_read_gives(server: Server, connection: Connection, name: str) -> None:
    before = count_closed(connection, name)
    response = ask(connection, name)
    expected = EXPECTED.get(name, CONTENT)
    assert response.body == expected
    length = str(len(expected)) if name in SENT_BY_THE_KERNEL else None
    assert response.header("Content-Length") == length
    assert ask(connection, name, "HEAD").status == 200
    wait_closed(server, connection, name, before + 2)


def test_an_empty_file_is_answered_at_once(connection: Connection) -> None:
    began = time.monotonic()
    for _ in range(5):
        assert ask(connection, "at-its-end").body == b""
    assert time.monotonic() - began < 0.8, "the kernel waits 200 ms for what is to follow a head sent with MSG_MORE"


@pytest.mark.parametrize("name", ["buffered", "memory", "gzip", "read-before", "pipe"])
def test_content_length_cuts(server: Server, connection: Connection, name: str) -> None:
    before = count_closed(connection, name)
    response = ask(connection, f"{name}?1001")
    assert response.header("Content-Length") == "1001"
    assert response.body == EXPECTED.get(name, CONTENT)[:1001]
    wait_closed(server, connection, name, before + 1)


@pytest.mark.parametrize("name", ["buffered", "memory"])
def test_a_file_shorter_than_declared_ends_the_connection(server: Server, name: str) -> None:
    with server.connect() as connection:
        connection.send(f"GET /{name}?{len(CONTENT) + 1} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        head, _, body = connection.read_all().partition(b"\r\n\r\n")
    assert b"Content-Length: 256001" in head
    assert body == CONTENT
    server.wait_log(f"GET /{name}.* sent 1 bytes less than its Content-Length")


def test_a_reader_that_fails_breaks_the_answer(server: Server) -> None:
    with server.connect() as connection:
        connection.send(b"GET /broken HTTP/1.1\r\nHost: x\r\n\r\n")
        received = connection.read_all()
    assert not received.endswith(b"0\r\n\r\n")
    assert CONTENT[:4000] in received
    server.wait_log("OSError: the disk broke")


def test_text_is_refused(server: Server, connection: Connection) -> None:
    before = count_closed(connection, "text")
    assert ask(connection, "text").status == 500
    server.wait_log("TypeError: a response part must be bytes, not str")
    wait_closed(server, connection, "text", before + 1)


def whole(name: str, body: bytes) -> None:
    """Fails unless this is all of a file that is made when it is read."""
    if name == "online":
        assert body == Path(MADE[name]).read_bytes()
    elif name == "cpuinfo":
        assert body.count(b"processor\t") == Path(MADE[name]).read_text().count("processor\t")
        assert body.endswith(b"\n\n")
    else:
        assert body.startswith(b"Name:\t")
        assert b"\nnonvoluntary_ctxt_switches:\t" in body


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize("how", ["", "raw", "read"])
def test_a_file_whose_size_lies_is_sent_whole_by_reading(connection: Connection, name: str, how: str) -> None:
    """Those of /proc have size 0, those of /sys 4096 (proc(5)): it ends where reading ends."""
    response = ask(connection, f"{name}?{how}")
    assert response.header("Transfer-Encoding") == "chunked"
    first = Path(MADE[name]).read_bytes()[:1] if how == "read" else b""
    whole(name, first + response.body)
    assert ask(connection, "buffered").body == CONTENT, "the connection is in step"


def test_a_file_that_shrinks_while_it_is_sent_breaks_the_answer(server: Server) -> None:
    with server.connect() as connection:
        connection.send(b"GET /size?shrinks HTTP/1.1\r\nHost: x\r\n\r\n")
        head = connection.sock.recv(1000)  # the rest does not fit into the sockets
        with server.connect() as other:
            assert ask(other, "change?shrinks").status == 200
        received = head + connection.read_all()
    head, _, body = received.partition(b"\r\n\r\n")
    assert f"Content-Length: {len(LARGE)}".encode() in head
    assert body == LARGE[:-1]


def test_a_file_that_grows_while_it_is_sent_ends_where_it_ended(server: Server) -> None:
    with server.connect() as connection:
        connection.send(b"GET /size?grows HTTP/1.1\r\nHost: x\r\n\r\n")
        connection._buffer += connection.sock.recv(1000)
        with server.connect() as other:
            assert ask(other, "change?grows").status == 200
        assert connection.response().body == LARGE
        assert ask(connection, "buffered").body == CONTENT
