"""What an app says, and what reaches the client: `start_response`, bodies, `close()`, errors (PEP 3333)."""

from __future__ import annotations

import socket

import pytest

from tests.conformance.conftest import ServerOf
from tests.integration.helpers import Connection, Response, Server


@pytest.fixture(scope="module")
def server(server_of: ServerOf) -> Server:
    return server_of("answers")


def get(server: Server, target: str, version: str = "1.1", method: str = "GET") -> Response:
    with server.connect() as connection:
        return connection.request(ask(target, version, method), head=method == "HEAD")


def ask(target: str, version: str = "1.1", method: str = "GET") -> bytes:
    return f"{method} {target} HTTP/{version}\r\nHost: x\r\n\r\n".encode()


def count_closed(server: Server, path: str) -> int:
    return len(get(server, f"/tell-closed?{path}").body.split())


def wait_closed(server: Server, path: str, count: int) -> None:
    server.wait_for(lambda: count_closed(server, path) >= count, f"{count} close() of {path}")
    assert count_closed(server, path) == count, "once, not twice"


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/written", b"one two three"),
        ("/late", b"late"),
        ("/several", b"abcdef"),
        ("/generator", b"abc"),
        ("/empty", b""),
        ("/reader", b"read in blocks"),
    ],
)
def test_bodies_of_every_shape(server: Server, target: str, body: bytes, version: str) -> None:
    response = get(server, target, version)
    assert (response.status, response.body) == (200, body)


def test_a_list_has_a_length_and_a_generator_has_chunks(server: Server) -> None:
    assert get(server, "/several").header("Content-Length") == "6"
    assert get(server, "/empty").header("Content-Length") == "0"
    assert get(server, "/generator").header("Transfer-Encoding") == "chunked"
    assert get(server, "/generator", "1.0").header("Transfer-Encoding") is None


def test_exc_info_replaces_a_head_that_was_not_sent(server: Server) -> None:
    response = get(server, "/replaced")
    assert (response.status, response.reason, response.body) == (503, "Sorry", b"sorry")
    assert response.header("X-Second") == "2"
    assert response.header("X-First") is None


def test_arguments_have_the_usual_names(server: Server) -> None:
    response = get(server, "/replaced-by-name")
    assert (response.status, response.body) == (503, b"sorry")


def test_exc_info_is_raised_again_when_the_head_was_sent(server: Server) -> None:
    with server.connect() as connection:
        data = _everything(connection, "/too-late")
    assert b"first" in data
    assert b"never" not in data
    assert not data.endswith(b"0\r\n\r\n"), "the client must be able to tell"
    server.wait_log("too late to replace")


def _everything(connection: Connection, target: str, version: str = "1.1") -> bytes:
    connection.send(ask(target, version))
    return connection.read_all()


@pytest.mark.parametrize(
    ("target", "complaint"),
    [
        ("/twice", "called twice without exc_info"),
        ("/never", "before it called start_response"),
        ("/never-empty", "start_response"),
        ("/raises", "LookupError: raised on purpose"),
        ("/raises-after-start", "LookupError: raised on purpose"),
        ("/exits", "SystemExit: 7"),
        ("/text", "must be bytes, not str"),
        ("/status?200OK", "three digits"),
        ("/status?99+Low", "three digits"),
        ("/status?101+Switching", "three digits"),
        ("/status?", "three digits"),
        ("/fields?crlf", "control characters"),
        ("/fields?lf", "control characters"),
        ("/fields?nul", "control characters"),
        ("/fields?name", "token"),
        ("/fields?colon", "token"),
        ("/fields?empty-name", "token"),
        ("/fields?wide", "outside latin-1"),
        ("/fields?bytes", "must be str, not bytes"),
        ("/fields?int", "must be str, not int"),
        ("/fields?three", "tuple"),
        ("/fields?list", "tuple"),
        ("/fields?length", "Content-Length must be"),
        ("/fields?lengths", "Content-Length must be"),
    ],
)
def test_what_cannot_be_sent_is_a_500_with_its_reason_in_the_log(server: Server, target: str, complaint: str) -> None:
    before = server.log.count(complaint)
    with server.connect() as connection:
        response = connection.request(ask(target))
        assert (response.status, response.body) == (500, b"Internal Server Error\n")
        assert b"Evil" not in response.body
        assert not any("Evil" in name for name, _ in response.fields)
        assert connection.request(ask("/several")).body == b"abcdef", "the connection lives on"
    server.wait_for(lambda: server.log.count(complaint) > before, complaint)
    path = target.partition("?")[0]
    assert f"GET {path}" in server.log, "the log names the request"


def test_status_and_reason_are_the_apps(server: Server) -> None:
    response = get(server, "/status?299+Odd+reason")
    assert (response.status, response.reason) == (299, "Odd reason")
    assert get(server, "/status?404").status == 404


def test_latin_1_passes(server: Server) -> None:
    assert get(server, "/fields?latin").header("X-A") == "caf\xe9"


def test_repeated_fields_stay_apart(server: Server) -> None:
    cookies = [value for name, value in get(server, "/fields?cookies").fields if name == "Set-Cookie"]
    assert cookies == ["a=1", "b=2"]


def test_date_and_server_are_added_unless_the_app_has_its_own(server: Server) -> None:
    response = get(server, "/several")
    assert (response.header("Date") or "").endswith(" GMT")
    assert response.header("Server") == "hostler"
    own = get(server, "/fields?own")
    assert (own.header("Date"), own.header("Server")) == ("today", "mine")


def test_hop_by_hop_fields_are_the_servers_alone(server: Server) -> None:
    response = get(server, "/fields?hop")
    assert response.header("X-A") == "b"
    assert (response.header("Keep-Alive"), response.header("Transfer-Encoding")) == (None, None)
    assert response.body == b"ok"
    server.wait_log("hop-by-hop header")
    get(server, "/fields?hop")
    assert server.log.count("hop-by-hop header") == 1, "said once"


def test_the_app_may_close_the_connection(server: Server) -> None:
    with server.connect() as connection:
        assert connection.request(ask("/fields?close")).header("Connection") == "close"
        assert connection.is_closed()


@pytest.mark.parametrize("status", ["204+No+Content", "304+Not+Modified"])
def test_statuses_without_a_body(server: Server, status: str) -> None:
    with server.connect() as connection:
        response = connection.request(ask(f"/status?{status}"))
        assert response.header("Transfer-Encoding") is None
        assert connection.request(ask("/several")).body == b"abcdef", "no byte of a body stands between"


@pytest.mark.parametrize("target", ["/several", "/generator", "/written", "/closing", "/file?0,", "/short", "/reader"])
def test_head_has_no_body(server: Server, target: str) -> None:
    with server.connect() as connection:
        assert connection.request(ask(target, method="HEAD"), head=True).status == 200
        assert connection.request(ask("/several")).body == b"abcdef"


def test_a_short_body_closes_the_connection(server: Server) -> None:
    with server.connect() as connection:
        data = _everything(connection, "/short")
    assert b"Content-Length: 10" in data
    assert data.endswith(b"short")
    server.wait_log("GET /short sent 5 bytes less than its Content-Length")


def test_a_long_body_is_cut(server: Server) -> None:
    with server.connect() as connection:
        assert connection.request(ask("/long")).body == b"long"
        assert connection.request(ask("/several")).body == b"abcdef"
    server.wait_log("GET /long sent more than its Content-Length")


def test_an_error_in_the_middle_is_visible_to_the_client(server: Server) -> None:
    with server.connect() as connection:
        data = _everything(connection, "/closing-broken")
    assert data.endswith(b"1\r\nb\r\n"), "no last chunk"
    with server.connect() as connection:
        data = _everything(connection, "/closing-counted")
    assert data.endswith(b"ab"), "short of its ten bytes"
    with server.connect() as connection, pytest.raises(ConnectionResetError):
        _everything(connection, "/closing-broken", "1.0")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("target", ["/closing", "/closing-empty", "/reader", "/file?0,", "/file?50,7"])
def test_close_is_called_once(server: Server, target: str, method: str) -> None:
    path = target.partition("?")[0]
    before = count_closed(server, path)
    assert get(server, target, method=method).status == 200
    wait_closed(server, path, before + 1)


def noted(server: Server, path: str) -> list[str]:
    return [note.partition("=")[2] for note in get(server, f"/tell-noted?{path}").body.decode().split()]


@pytest.mark.parametrize(
    ("target", "method", "body", "asked"),
    [
        ("/past-length?4,ab", "GET", b"abab", 2),
        ("/past-length?3,ab", "GET", b"aba", 2),
        ("/past-length?0,ab", "GET", b"", 1),
        ("/past-length?4,ab", "HEAD", b"", 1),
        ("/past-status?204+No+Content", "GET", b"", 1),
        ("/past-status?304+Not+Modified", "GET", b"", 1),
        ("/past-status?200+OK", "HEAD", b"", 1),
        ("/written-whole", "GET", b"abcd", 0),
        ("/written-whole", "HEAD", b"", 0),
    ],
)
def test_an_endless_iterable_is_not_asked_past_the_end_of_its_body(
    server: Server, target: str, method: str, body: bytes, asked: int
) -> None:
    """PEP 3333, "Handling the Content-Length Header"; close() is called once, and the connection lives."""
    path = target.partition("?")[0]
    closed, before = count_closed(server, path), len(noted(server, path))
    with server.connect() as connection:
        assert connection.request(ask(target, method=method), head=method == "HEAD").body == body
        assert connection.request(ask("/several")).body == b"abcdef"
    wait_closed(server, path, closed + 1)
    assert len(noted(server, path)) == before + asked


def test_write_past_a_complete_length_raises(server: Server) -> None:
    """PEP 3333: "or raise an error if the application tries to write() past that point"."""
    with server.connect() as connection:
        assert connection.request(ask("/writes-for-ever?4")).body == b"abab"
    server.wait_for(lambda: noted(server, "/writes-for-ever") == ["RuntimeError"], "the error of write()")
    server.wait_log("RuntimeError: write was called after the Content-Length was complete")


def test_write_raises_when_the_client_has_left(server_of: ServerOf) -> None:
    server = server_of("answers", "--threads", "3")
    connection = server.connect()
    connection.send(ask("/writes-for-ever"))
    connection.sock.recv(100_000)
    connection.reset()
    server.wait_for(lambda: noted(server, "/writes-for-ever") == ["ConnectionResetError"], "the error of write()")
    assert "Traceback" not in server.log, "a client that left is not an error"


@pytest.mark.parametrize("path", ["/closing-broken", "/closing-counted"])
def test_close_is_called_once_after_an_error(server: Server, path: str) -> None:
    before = count_closed(server, path)
    with server.connect() as connection:
        _everything(connection, path)
    wait_closed(server, path, before + 1)


@pytest.mark.parametrize("ending", ["close", "reset"])
def test_close_is_called_once_when_the_client_leaves(server_of: ServerOf, ending: str) -> None:
    server = server_of("answers", "--threads", "3")
    before = count_closed(server, "/closing-endless")
    connection = server.connect()
    connection.send(ask("/closing-endless"))
    connection.sock.recv(100_000)
    connection.reset() if ending == "reset" else connection.close()
    wait_closed(server, "/closing-endless", before + 1)
    assert "Traceback" not in server.log, "a client that left is not an error"


@pytest.mark.parametrize(
    ("offset", "declared", "first", "length"),
    [(0, "", 0, 100_000), (99_000, "", 99_000, 1000), (10, "20", 10, 20), (100_000, "", 0, 0)],
)
def test_files_from_where_they_stand(server: Server, offset: int, declared: str, first: int, length: int) -> None:
    whole = bytes(range(250)) * 400
    response = get(server, f"/file?{offset},{declared}")
    assert response.header("Content-Length") == str(length)
    assert response.body == whole[first : first + length]


def test_a_file_shorter_than_declared_closes(server: Server) -> None:
    with server.connect() as connection:
        data = _everything(connection, "/file?99990,20")
    assert b"Content-Length: 20" in data
    assert data.endswith(bytes(range(240, 250)))


def test_connections_live_as_the_version_says(server: Server) -> None:
    with server.connect() as connection:
        assert connection.request(ask("/several")).header("Connection") is None
        assert connection.request(ask("/several")).body == b"abcdef"
    with server.connect() as connection:
        assert connection.request(ask("/several", "1.0")).header("Connection") == "close"
        assert connection.is_closed()
    with server.connect() as connection:
        keep = b"GET /several HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
        assert connection.request(keep).header("Connection") == "keep-alive"
        assert connection.request(keep).body == b"abcdef"
    with server.connect() as connection:
        connection.send(b"GET /several HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert connection.read_all().endswith(b"abcdef")


def test_a_client_that_has_sent_all_still_gets_its_answer(server: Server) -> None:
    with server.connect() as connection:
        connection.send(ask("/several"))
        connection.sock.shutdown(socket.SHUT_WR)
        assert connection.read_all().endswith(b"abcdef")


def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    targets = ["/several", "/generator", "/written", "/late", "/empty"] * 20
    with server.connect() as connection:
        connection.send(b"".join(ask(target) for target in targets))
        bodies = [connection.response().body for _ in targets]
    assert bodies == [b"abcdef", b"abc", b"one two three", b"late", b""] * 20
