"""Request bodies, disconnects, tasks and contexts (ASGI HTTP & WebSocket 2.5, "Request", "Disconnect")."""

from __future__ import annotations

import json
import socket
from functools import partial

import pytest

from tests.conformance.asgi.conftest import ask, get, pushed, seen, wait_seen
from tests.integration.helpers import Server


def test_the_app_starts_before_the_body_is_complete(server: Server) -> None:
    """Request: a body comes in as many messages as it needs."""
    with server.connect() as connection:
        connection.send(b"POST /parts HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabc")
        connection.sock.settimeout(5)
        said = b""
        while b"<3>" not in said:
            said += connection.sock.recv(4096)
        connection.send(b"def")
        while not said.endswith(b"0\r\n\r\n"):
            said += connection.sock.recv(4096)
    assert said.count(b"<3>") == 2


def test_chunked_bodies(server: Server) -> None:
    with server.connect() as connection:
        head = b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.send(head + b"3\r\nabc\r\n")
        connection.send(b"2\r\nde\r\n0\r\nX-Trailer: 1\r\n\r\n" + ask("/hello"))
        assert connection.response().body == b"abcde"
        assert connection.response().body == b"ok"


def test_a_body_of_any_size(server: Server) -> None:
    body = bytes(range(256)) * 20_000
    with server.connect() as connection:
        assert connection.request(ask("/echo", method="POST", body=body)).body == body
        assert connection.request(ask("/counts", method="POST", body=body)).body == b"5120000"


def test_100_continue_comes_with_the_first_receive(server: Server) -> None:
    """RFC 9110 10.1.1: only who wants the body asks for it."""
    request = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
    with server.connect() as connection:
        assert connection.request(request % b"/echo").status == 100
        assert connection.request(b"abc").body == b"abc"
    with server.connect() as connection:
        response = connection.request(request % b"/before-body")
        assert (response.status, response.header("Connection")) == (200, "close")


def test_a_body_that_nobody_reads(server: Server) -> None:
    """A little is read and forgotten, so that the connection lives; a lot ends it."""
    with server.connect() as connection:
        assert connection.request(ask("/before-body", method="POST", body=b"x" * 30_000)).body == b"early"
        assert connection.request(ask("/hello")).body == b"ok"


@pytest.mark.parametrize("framing", ["Content-Length: %d", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("size", [10, 40_000, 400_000])
@pytest.mark.parametrize("share", [0, 1, 2])
def test_response_before_the_body_has_come_says_whether_another_request_may_follow(
    server: Server, framing: str, size: int, share: int
) -> None:
    """RFC 9112 9.6: a client that was not told of the end sends its next request, which would get no response."""
    framing = framing.replace("%d", str(size))
    body = b"x" * size if "Length" in framing else b"%x\r\n%s\r\n0\r\n\r\n" % (size, b"x" * size)
    sent = len(body) * share // 2
    with server.connect() as connection:
        response = connection.request(ask("/before-body", framing, method="POST") + body[:sent])
        assert response.body == b"early"
        if response.header("Connection") != "close":
            connection.send(body[sent:])
            assert connection.request(ask("/hello")).body == b"ok"


def test_receive_pauses_reading(server: Server) -> None:
    """An app that does not read stops its client: memory stays where it is."""
    with server.connect() as connection:
        connection.send(b"POST /never-reads HTTP/1.1\r\nHost: x\r\nContent-Length: 400000000\r\n\r\n")
        assert pushed(connection, b"x" * 1_000_000, 30_000_000) < 30_000_000, "the kernel's buffers and a little more"


def test_send_waits_for_a_slow_client(server: Server) -> None:
    """Response Body: an app that sends more than the client reads must wait."""
    with server.connect() as connection:
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        connection.send(ask("/streams-for-ever?slow"))
        server.wait_for(lambda: "waits" in seen(server, "slow"), "a send that waits")
        assert seen(server, "slow")[0] < 40_000_000
    server.wait_for(lambda: seen(server, "slow")[-1] == "OSError", "the error of send")


def test_disconnect_is_told_once_it_happens(server: Server) -> None:
    """Disconnect: at once when the client goes; send raises OSError then (since 2.4); later calls say the same."""
    with server.connect() as connection:
        connection.send(ask("/waits-for-end?gone"))
        wait_seen(server, "gone", ["waiting"])
    wait_seen(server, "gone", ["waiting", "http.disconnect", "OSError the client has left: its connection is closed",
                               "http.disconnect"])  # fmt: skip
    assert "gone" not in server.log, "a client that leaves is no error"


def test_a_reset_is_a_disconnect_too(server: Server) -> None:
    connection = server.connect()
    connection.send(ask("/waits-for-end?reset"))
    wait_seen(server, "reset", ["waiting"])
    connection.reset()
    server.wait_for(lambda: "http.disconnect" in seen(server, "reset"), "the disconnect")


def test_receive_waits_while_the_client_is_there(server: Server) -> None:
    """Disconnect: also sent when the response is complete, not before."""
    with server.connect() as connection:
        assert connection.request(ask("/end-after-answer?answered")).body == b"ok"
        wait_seen(server, "answered", ["waits", "http.disconnect"])
        assert connection.request(ask("/hello")).body == b"ok"


def test_a_client_may_close_its_side(server: Server) -> None:
    """RFC 9112 9.6: an app that does not ask whether the client is there answers one that has only stopped sending."""
    with server.connect() as connection:
        connection.send(ask("/half-closed"))
        connection.sock.shutdown(socket.SHUT_WR)
        assert connection.response().body == b"still here"


def test_a_body_that_breaks_off(server: Server) -> None:
    with server.connect() as connection:
        connection.send(b"POST /counts HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
    server.wait_log("was not read whole: the client left")
    assert get(server, "/hello").status == 200


def test_a_malformed_chunk(server: Server) -> None:
    with server.connect() as connection:
        connection.send(b"POST /counts HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n")
        assert b"200 OK" not in connection.read_all()


def test_tasks_timeouts_and_groups(server: Server) -> None:
    """What asyncio, anyio and sniffio need of the running task, though its first step was not the loop's."""
    found = json.loads(get(server, "/tools").body)
    assert found == [True, "asyncio", "one", True, "thread", "timeout"]


def test_each_request_has_a_context_of_its_own(server: Server) -> None:
    """Also when one batch holds many; what the lifespan has set is its own (a span that is open in it is no parent)."""
    connections = [server.connect() for _ in range(10)]
    for number, connection in enumerate(connections):
        connection.send(ask(f"/context?{number}") + ask(f"/context?again{number}"))
    for number, connection in enumerate(connections):
        assert connection.response().body == f"fresh {number} no".encode()
        assert connection.response().body == f"fresh again{number} no".encode()
        connection.close()


@pytest.mark.parametrize("path", ["/as-tasks?tasks", "/cancelled-reader-loses-nothing"])
def test_messages_by_way_of_tasks(server: Server, path: str) -> None:
    """receive() and send() are coroutines to create_task, ensure_future and wait_for; a cancelled one takes nothing."""
    with server.connect() as connection:
        connection.send(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\nabcd".encode())
        if "tasks" in path:
            assert connection.response().body == b"abcd"
            assert "cancelled" in seen(server, "tasks")
            return

        def cancelled(before: int) -> bool:
            return len(seen(server, "reader")) > before

        for part in (b"ef", b"gh"):
            before = len(seen(server, "reader"))
            server.wait_for(partial(cancelled, before), "a cancelled reader")
            connection.send(part)
        assert connection.response().body == b"abcdefgh"
