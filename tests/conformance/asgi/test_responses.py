"""Responses (ASGI HTTP & WebSocket specification 2.5, "Response Start", "Response Body", extensions)."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from tests.conformance.asgi.conftest import APPS, ask, get, seen, wait_seen
from tests.integration.helpers import Server

SOURCE = (APPS / "requests.py").read_bytes()


def raw(server: Server, request: bytes) -> bytes:
    """All that comes until the server closes."""
    with server.connect() as connection:
        connection.send(request.replace(b"Host: x", b"Host: x\r\nConnection: close"))
        return connection.read_all()


def test_headers_are_optional(server: Server) -> None:
    """Response Start: headers defaults to an empty list."""
    response = get(server, "/no-headers")
    assert (response.status, response.body, response.header("Content-Length")) == (200, b"plain", "5")


def test_pairs_may_be_lists_and_bodies_any_bytes(server: Server) -> None:
    response = get(server, "/lists")
    assert [value for name, value in response.fields if name == "x-a"] == ["1", "2"]
    assert response.body == b"bytes"


def test_bodies_in_parts_are_chunked(server: Server) -> None:
    """Response Body, more_body; an empty part must not end the body."""
    response = get(server, "/chunks")
    assert (response.header("Transfer-Encoding"), response.body) == ("chunked", b"abc")
    assert get(server, "/chunks", version="1.0").body == b"abc"


def test_transfer_encoding_of_the_app_is_ignored(server: Server) -> None:
    """Response Start: "Servers must ignore transfer-encoding sent by the app"."""
    response = get(server, "/transfer-encoding")
    assert (response.header("Transfer-Encoding"), response.header("Content-Length")) == (None, "4")
    assert response.body == b"body"


def test_a_short_body_ends_visibly(server: Server) -> None:
    """RFC 9112 6.3: an incomplete message is recognised by the end of the connection."""
    said = raw(server, ask("/short"))
    assert b"Content-Length: 10\r\n" in said
    assert said.endswith(b"\r\n\r\nabc")
    server.wait_log("sent 7 bytes less than its Content-Length")


def test_a_long_body_is_cut(server: Server) -> None:
    with server.connect() as connection:
        assert connection.request(ask("/long")).body == b"abc"
        assert connection.request(ask("/hello")).body == b"ok", "the connection is in step"


@pytest.mark.parametrize("path", ["/never-ends?past,200,4", "/zerocopy-past-length?zero"])
def test_send_past_a_complete_length_raises(server: Server, path: str) -> None:
    """What crosses the length is cut; an app that goes on behind it must hear of it, since it may have no end."""
    with server.connect() as connection:
        response = connection.request(ask(path))
        assert response.body == (b"abab" if "never" in path else SOURCE[:2] * 2)
    key = path.partition("?")[2].partition(",")[0]
    server.wait_for(lambda: bool((seen(server, key) or [None])[-1]), "the error of send()")
    _, kind, text = seen(server, key)[-1]
    assert kind == "RuntimeError"
    assert text.endswith("after the Content-Length was complete")


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
def test_an_endless_body_that_is_not_sent_leaves_the_loop_to_others(server: Server, method: str, status: int) -> None:
    """Its parts are dropped and wait for nothing; it ends with its client."""
    key = f"{method}{status}"
    with server.connect() as connection:
        assert connection.request(ask(f"/never-ends?{key},{status},", method=method), head=True).status == status
        assert get(server, "/hello").body == b"ok"
    server.wait_for(lambda: seen(server, key)[-1] is not None, "the error of send()")
    assert seen(server, key)[-1][1] == "ConnectionResetError"


@pytest.mark.parametrize("status", [204, 304])
def test_no_body_where_there_is_none(server: Server, status: int) -> None:
    """RFC 9110 6.4.1."""
    with server.connect() as connection:
        response = connection.request(ask(f"/status?{status}"))
        assert (response.status, response.header("Transfer-Encoding")) == (status, None)
        assert connection.request(ask("/hello")).body == b"ok"


@pytest.mark.parametrize("path", ["/hello", "/chunks", "/pathsend", "/trailers"])
def test_head(server: Server, path: str) -> None:
    """RFC 9110 9.3.2, also for bodies in parts."""
    with server.connect() as connection:
        assert connection.request(ask(path, method="HEAD"), head=True).status == 200
        assert connection.request(ask("/hello")).body == b"ok"


def test_a_head_does_not_wait_for_its_body(server: Server) -> None:
    """Event streams send their head long before the first event."""
    with server.connect() as connection:
        connection.send(ask("/head-first"))
        connection.sock.settimeout(0.4)
        head = connection.sock.recv(65536)
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"later" not in head


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_large_parts_come_whole_and_do_not_wait_for_the_next(server: Server, framing: str) -> None:
    """Response Body: parts are sent as they come. Those of one step may leave together, none after its end."""
    wanted = b"".join(b"%02d" % number * 32768 for number in range(20))
    with server.connect() as connection:
        connection.send(ask(f"/large-parts?{framing}"))
        received = b""
        connection.sock.settimeout(0.4)  # less than the app's pause
        while received.count(b"09") < 32768:
            received += connection.sock.recv(262144)
        assert received.rstrip(b"\r\n").endswith(b"09")
        first = time.monotonic()
        connection.sock.settimeout(10)
        while received.count(b"19") < 32768:
            received += connection.sock.recv(262144)
        assert time.monotonic() - first < 0.9, "the second half came with the end"
    assert get(server, f"/large-parts?{framing}").body == wanted


def test_large_parts_reach_slow_clients_whole(server: Server) -> None:
    with server.connect() as connection:
        before = len(seen(server, "large-parts"))
        connection.send(ask("/large-parts?length", "Connection: close"))
        server.wait_for(lambda: len(seen(server, "large-parts")) > before, "the first half of the parts")
        body = connection.read_all().partition(b"\r\n\r\n")[2]
    assert len(body) == 1310720
    assert [body[at : at + 2] for at in range(0, len(body), 65536)] == [b"%02d" % number for number in range(20)]


def test_parts_before_a_failure_are_sent(server: Server) -> None:
    said = raw(server, ask("/large-parts-then-fails"))
    assert [said.count(digit * 32768) for digit in (b"0", b"1", b"2")] == [1, 1, 1]
    assert not said.endswith(b"0\r\n\r\n")


def test_trailers(server: Server) -> None:
    """Extension http.response.trailers, on HTTP/1.1; none that frames a message (RFC 9110 6.5.1)."""
    said = raw(server, ask("/trailers", "TE: trailers"))
    assert said.endswith(b"4\r\nbody\r\n0\r\nx-one: 1\r\nx-two: 2\r\n\r\n")
    assert raw(server, ask("/trailers", version="1.0")).endswith(b"\r\n\r\nbody")


def test_early_hints(server: Server) -> None:
    """Extension http.response.early_hint (RFC 8297)."""
    with server.connect() as connection:
        hint = connection.request(ask("/hints"))
        assert (hint.status, hint.reason) == (103, "Early Hints")
        assert hint.fields == [("link", "</a.css>; rel=preload"), ("link", "</b.js>")]
        assert connection.response().body == b"ok"
    assert get(server, "/hints", version="1.0").status == 200


def test_pathsend(server: Server) -> None:
    """Extension http.response.pathsend."""
    response = get(server, "/pathsend")
    assert (response.body, response.header("Content-Length")) == (SOURCE, str(len(SOURCE)))


def test_zerocopysend(server: Server) -> None:
    """Extension http.response.zerocopysend: parts by offset and count, or a whole file."""
    assert get(server, "/zerocopy").body == SOURCE[3:10] + SOURCE[:3]
    response = get(server, "/zerocopy-whole")
    assert (response.body, response.header("Content-Length")) == (SOURCE, str(len(SOURCE)))


@pytest.mark.parametrize("way", ["path", "copy", "parts"])
@pytest.mark.parametrize(
    ("path", "first", "last"),
    [
        ("/proc/self/status", "Name:\t", "nonvoluntary_ctxt_switches"),
        ("/proc/cpuinfo", "processor\t: 0", "\n\n"),
        ("/sys/devices/system/cpu/online", "0", "\n"),
    ],
)
def test_a_file_whose_size_lies_is_sent_whole_by_reading(
    server: Server, way: str, path: str, first: str, last: str
) -> None:
    """Those of /proc have size 0, those of /sys 4096 (proc(5)): it ends where reading ends."""
    with server.connect() as connection:
        text = connection.request(ask(f"/made?{way},{path}")).body.decode()
        assert text.startswith(first)
        assert last in text
        assert text.count("\n") == Path(path).read_text().count("\n")
        assert connection.request(ask(f"/made?{way},{path}", method="HEAD"), head=True).status == 200
        assert connection.request(ask("/hello")).body == b"ok"


MISTAKES = {
    "no-type": 'needs a "type"',
    "not-a-dict": "must be a dict, not str",
    "unknown-type": 'unknown ASGI message type "http.response.begin"',
    "websocket-type": "the app sent websocket.accept before http.response.start",
    "no-status": 'http.response.start needs a "status"',
    "status-str": "the status of http.response.start must be an int, not '200'",
    "status-99": "must be from 200 to 999, not 99",
    "status-1000": "must be from 200 to 999, not 1000",
    "status-101": "must be from 200 to 999, not 101",
    "header-str": "the headers of http.response.start must be [name, value] pairs of bytes, not ('a', 'b')",
    "header-alone": "the headers of http.response.start must be [name, value] pairs of bytes, not (b'a',)",
    "header-crlf": "a header value must not contain CR, LF",
    "body-first": "the app sent http.response.body before http.response.start",
    "body-str": "the body of http.response.body must be bytes, not str",
    "start-twice": "the app sent http.response.start after http.response.start",
    "trailers-unannounced": "the app sent http.response.trailers after http.response.start",
    "relative-path": 'the path of http.response.pathsend must be absolute, not "x"',
}


@pytest.mark.parametrize("key", MISTAKES)
def test_mistakes_raise_in_the_app_and_are_500(server: Server, key: str) -> None:
    """Messages that are not those of the specification: named, with the state, where they are sent."""
    assert get(server, f"/mistake?{key}").status == 500
    assert MISTAKES[key] in seen(server, key)[-1][2]
    server.wait_log(re.escape(MISTAKES[key]))


def test_nothing_may_follow_the_end(server: Server) -> None:
    assert get(server, "/after-the-end?after").status == 200
    server.wait_for(lambda: bool(seen(server, "after")), "the second body")
    assert seen(server, "after")[0][2] == "the app sent http.response.body after the response was complete"


def test_exceptions(server: Server) -> None:
    """Before the start 500; after it the connection ends, so that the client can tell."""
    assert get(server, "/raises").status == 500
    said = raw(server, ask("/raises-after"))
    assert said.endswith(b"4\r\npart\r\n"), "no last chunk"
    server.wait_log("ValueError: after the start")


def test_an_app_that_answers_nothing(server: Server) -> None:
    assert get(server, "/returns").status == 500
    server.wait_log("the app returned without sending a response")
    assert raw(server, ask("/returns-early")).endswith(b"4\r\npart\r\n")
    server.wait_log("the app returned before its response was complete")


def test_an_app_cannot_end_the_server(server: Server) -> None:
    assert get(server, "/exits").status == 500
    assert get(server, "/hello").status == 200


def test_work_goes_on_behind_the_answer(server: Server) -> None:
    """The connection is free when the answer is out, whatever the app still does."""
    with server.connect() as connection:
        assert connection.request(ask("/goes-on?behind")).body == b"ok"
        assert connection.request(ask("/hello")).body == b"ok"
    wait_seen(server, "behind", ["done"])


def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    with server.connect() as connection:
        connection.send(ask("/head-first") + ask("/hello") + ask("/echo", method="POST", body=b"three"))
        assert [connection.response().body for _ in range(3)] == [b"later", b"ok", b"three"]
