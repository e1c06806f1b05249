"""WebSockets (ASGI HTTP & WebSocket specification 2.5, "WebSocket"; RFC 6455; RFC 7692) over real sockets."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator

import pytest

from tests.conformance.asgi.conftest import ServerOf, ask, get, pushed, wait_seen
from tests.conformance.asgi.frames import BINARY, CLOSE, CONTINUATION, FIN, KEY, PING, PONG, RSV1, TEXT, Client
from tests.integration.helpers import Server


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def server(asgi_server: ServerOf, request: pytest.FixtureRequest) -> Server:
    return asgi_server("sockets", "--loop", request.param, "--ws-max-size", "1M", "--ws-max-frame-size", "200K")


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    """Sockets that a test left open are closed with it."""
    yield
    while Client.opened:
        Client.opened.pop().close()


def packed(data: bytes) -> bytes:
    """One message of permessage-deflate."""
    packer = zlib.compressobj(wbits=-15)
    return (packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]


def unpacked(data: bytes) -> bytes:
    return zlib.decompressobj(wbits=-15).decompress(data + b"\0\0\xff\xff")


# --- Handshake ---


def test_the_handshake(server: Server) -> None:
    """RFC 6455 4.2.2; Accept: subprotocol, headers; the fields of the handshake are the server's."""
    response = Client(server, "/subprotocol", "Sec-WebSocket-Protocol: a, b", "Sec-WebSocket-Protocol: c").handshake()
    assert (response.status, response.header("Sec-WebSocket-Accept")) == (101, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    assert response.header("Sec-WebSocket-Protocol") == "b"
    assert response.header("x-greeting") == "hi"
    assert response.header("Upgrade") == "websocket"
    assert response.header("Sec-WebSocket-Extensions") is None


def test_the_scope(server: Server) -> None:
    """WebSocket Connection Scope."""
    client = Client(server, "/scope?q", "Sec-WebSocket-Protocol: a, b").open()
    scope = json.loads(client.read().payload)
    assert (scope["type"], scope["scheme"], scope["http_version"]) == ("websocket", "ws", "1.1")
    assert (scope["path"], scope["query_string"], scope["subprotocols"]) == ("/scope", "q", ["a", "b"])
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.5"}
    assert scope["extensions"] == {"websocket.http.response": {}}
    assert scope["server"][1] == server.port
    assert "method" not in scope


def test_a_wrong_version(server: Server) -> None:
    """RFC 6455 4.4: 426 with the version that is understood."""
    response = Client(server, "/echo", version="8").handshake()
    assert (response.status, response.header("Sec-WebSocket-Version")) == (426, "13")


def test_a_wrong_key(server: Server) -> None:
    """RFC 6455 4.2.1."""
    with server.connect() as connection:
        fields = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: short")
        assert connection.request(ask("/echo", *fields)).status == 400


@pytest.mark.parametrize("fields", [("Connection: close, x", "Upgrade: h2c"), ("Upgrade:", "Connection:")])
def test_several_lines_of_connection_and_upgrade_make_a_handshake(server: Server, fields: tuple[str, ...]) -> None:
    """RFC 9110 5.3: they are one list."""
    key = ("Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {KEY}")
    handshake = ("Upgrade: websocket", "Connection: Upgrade", *key)
    for message in (ask("/echo", *fields, *handshake), ask("/echo", *handshake, *fields)):
        with server.connect() as connection:
            assert connection.request(message).status == 101


@pytest.mark.parametrize(
    ("fields", "behind", "fault"),
    [
        (("Content-Length: 4",), b"body", "a WebSocket handshake with a body"),
        (("Transfer-Encoding: chunked",), b"4\r\nbody\r\n0\r\n\r\n", "a WebSocket handshake with a body"),
        ((f"Sec-WebSocket-Key: {KEY}",), b"", "more than one Sec-WebSocket-Key"),
        (("Sec-WebSocket-Version: 13",), b"", "more than one Sec-WebSocket-Version"),
    ],
)
@pytest.mark.parametrize("cut", [0, 5, -6, -1])
def test_an_ambiguous_handshake_is_refused_however_it_is_cut(
    server: Server, fields: tuple[str, ...], behind: bytes, fault: str, cut: int
) -> None:
    """RFC 6455 4.1, 11.3: no body, one key, one version."""
    key = ("Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {KEY}")
    message = ask("/echo", "Upgrade: websocket", "Connection: Upgrade", *key, *fields) + behind
    with server.connect() as connection:
        connection.send(message[:cut])
        response = connection.request(message[cut:])
        assert (response.status, response.body.decode()) == (400, f"{fault}\n")
        assert connection.is_closed()


def test_only_get_is_a_handshake(server: Server) -> None:
    """RFC 6455 4.1: to another method the fields mean nothing."""
    response = Client(server, "/echo", "Content-Length: 0", method="POST").handshake()
    assert (response.status, response.body) == (200, b"http")


def test_refusals(server: Server) -> None:
    """Close before accept: 403. Denial response: the app's own. An app that fails or returns: 500."""
    assert Client(server, "/refuses").handshake().status == 403
    denial = Client(server, "/denies").handshake()
    assert (denial.status, denial.header("x-why"), denial.body) == (429, "full", b"come later")
    assert Client(server, "/raises").handshake().status == 500
    assert Client(server, "/returns").handshake().status == 500
    assert Client(server, "/bad-header").handshake().status == 500
    server.wait_log("ValueError: before accept")
    server.wait_log("the app returned without accepting or closing the WebSocket")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/denies-and-fails", "ValueError: after the start of a denial"),
        ("/denies-and-returns", "the app returned before its response to the handshake was complete"),
    ],
)
def test_denial_that_fails_after_its_start_is_500_as_in_http(server: Server, path: str, said: str) -> None:
    response = Client(server, path).handshake()
    assert (response.status, response.header("x-why")) == (500, None)
    server.wait_log(said)


def test_a_denial_past_its_length_raises(server: Server) -> None:
    """Denial response: as in HTTP, what follows a complete body is an error."""
    assert Client(server, "/denies-for-ever?denied").handshake().body == b"abab"
    wait_seen(server, "denied", ["the app sent websocket.http.response.body after the Content-Length was complete"])


def test_what_comes_before_the_accept_is_kept(server: Server) -> None:
    client = Client(server, "/accepts-late")
    client.text("early")
    assert client.open().read() == (FIN | TEXT, b"early")


def test_a_client_that_leaves_before_the_accept(server: Server) -> None:
    client = Client(server, "/never-accepts?left")
    client.close()
    wait_seen(server, "left", [["websocket.disconnect", 1006]])


def test_an_app_that_never_accepts(asgi_server: ServerOf) -> None:
    server = asgi_server("sockets", "--ws-handshake-timeout", "300ms")
    assert Client(server, "/never-accepts?late").handshake().status == 503
    wait_seen(server, "late", [["websocket.disconnect", 1006]])


# --- Messages ---


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 150_000])
def test_echo(server: Server, size: int) -> None:
    """Receive and Send: empty messages are messages."""
    client = Client(server, "/echo").open()
    client.send(FIN | TEXT, b"t" * size)
    assert client.read() == (FIN | TEXT, b"t" * size)
    client.send(FIN | BINARY, b"\xff" * size)
    assert client.read() == (FIN | BINARY, b"\xff" * size)


def test_fragments_with_a_ping_between(server: Server) -> None:
    """RFC 6455 5.4, 5.5.2."""
    client = Client(server, "/echo").open()
    client.send(TEXT, "grü".encode()[:3])
    client.send(FIN | PING, b"alive?")
    client.send(CONTINUATION, "grü".encode()[3:])
    client.send(FIN | CONTINUATION, b"n")
    assert client.read() == (FIN | PONG, b"alive?")
    assert client.read() == (FIN | TEXT, "grün".encode())
    client.send(FIN | PONG, b"unasked")
    client.text("on")
    assert client.read().payload == b"on"


def test_byte_by_byte(server: Server) -> None:
    client = Client(server, "/echo").open()
    for byte in b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58":
        client.connection.send(bytes([byte]))
    assert client.read().payload == b"Hello"


@pytest.mark.parametrize(
    ("first", "payload", "masked", "code"),
    [
        (FIN | TEXT, b"x", False, 1002),
        (FIN | RSV1 | TEXT, b"x", True, 1002),
        (FIN | 0x20 | TEXT, b"x", True, 1002),
        (FIN | 3, b"x", True, 1002),
        (FIN | CONTINUATION, b"x", True, 1002),
        (PING, b"x", True, 1002),
        (FIN | PING, b"x" * 126, True, 1002),
        (FIN | CLOSE, b"\x03", True, 1002),
        (FIN | CLOSE, b"\x03\xed", True, 1002),
        (FIN | CLOSE, b"\x03\xe8\xff", True, 1007),
        (FIN | TEXT, b"\xc0\xaf", True, 1007),
        (TEXT, b"good \xed\xa0\x80", True, 1007),
        (FIN | BINARY, b"x" * 210_000, True, 1009),
    ],
)
def test_broken_frames_end_the_websocket(server: Server, first: int, payload: bytes, masked: bool, code: int) -> None:
    """RFC 6455 5, 7.4.1, 8.1, 10.4; the app is told the code."""
    key = f"broken-{first}-{len(payload)}-{code}-{masked}"
    client = Client(server, f"/echo?{key}").open()
    client.send(first, payload, masked=masked)
    assert client.read().close[0] == code
    server.wait_for(lambda: json.loads(get(server, f"/seen?{key}").body), "the disconnect")
    assert json.loads(get(server, f"/seen?{key}").body)[0][0] == code


@pytest.mark.parametrize(("last", "code"), [((FIN | 3, b""), 1002), ((FIN | CLOSE, b"\x03\xe8"), 1000)])
def test_what_came_before_the_end_is_still_answered(server: Server, last: tuple[int, bytes], code: int) -> None:
    client = Client(server, "/echo")
    client.text("one")
    client.text("two")
    client.send(*last)
    client.open()
    assert [client.read().payload, client.read().payload] == [b"one", b"two"]
    assert client.read().close[0] == code


def test_a_message_in_many_frames_is_limited_too(server: Server) -> None:
    client = Client(server, "/echo").open()
    client.send(BINARY, b"x" * 200_000)
    for _ in range(5):
        client.send(CONTINUATION, b"x" * 200_000)
    assert client.read().close[0] == 1009


def test_a_client_that_sends_too_fast_waits(server: Server) -> None:
    """An app that does not read stops its client: memory stays where it is."""
    client = Client(server, "/never-reads").open()
    frame = b"\x82\xfe\xff\xff\0\0\0\0" + b"x" * 65535
    assert pushed(client.connection, frame, 40_000_000) < 40_000_000


def test_an_app_that_sends_too_fast_waits(server: Server) -> None:
    client = Client(server, "/floods?flood").open()
    server.wait_for(lambda: "waits" in json.loads(get(server, "/seen?flood").body), "a send that waits")
    assert json.loads(get(server, "/seen?flood").body)[0] < 40_000_000
    client.close()
    server.wait_for(lambda: json.loads(get(server, "/seen?flood").body)[-1] == "OSError", "the error of send")


# --- Compression ---


def test_permessage_deflate(server: Server) -> None:
    """RFC 7692 7."""
    offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"
    client = Client(server, "/echo", offer)
    answer = client.handshake().header("Sec-WebSocket-Extensions")
    assert answer == "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
    for text in (b"", b"short", b"long " * 1000):
        client.send(FIN | RSV1 | TEXT, packed(text))
        frame = client.read()
        assert (unpacked(frame.payload) if frame.first & RSV1 else frame.payload) == text
    data = packed(b"in fragments " * 50)
    client.send(RSV1 | TEXT, data[:5])
    client.send(FIN | PING, b"plain")
    client.send(FIN | CONTINUATION, data[5:])
    assert client.read() == (FIN | PONG, b"plain")
    assert unpacked(client.read().payload) == b"in fragments " * 50
    client.text("not compressed")
    assert client.read() == (FIN | TEXT, b"not compressed")


@pytest.mark.parametrize("option", ["--ws-per-message-deflate=off", "--ws-per-message-deflate=takeover"])
def test_whether_and_how_it_compresses_can_be_said(asgi_server: ServerOf, option: str) -> None:
    server = asgi_server("sockets", option)
    client = Client(server, "/echo", "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10")
    answer = client.handshake().header("Sec-WebSocket-Extensions")
    assert answer == (None if "off" in option else "permessage-deflate; server_max_window_bits=10")
    text = b"the same words again and again " * 20
    client.send(FIN | TEXT, text)
    first = client.read()
    client.send(FIN | TEXT, text)
    second = client.read()
    if answer:
        unpacker = zlib.decompressobj(wbits=-10)
        assert unpacker.decompress(first.payload + b"\0\0\xff\xff") == text
        assert unpacker.decompress(second.payload + b"\0\0\xff\xff") == text
        assert len(second.payload) < len(first.payload), "the context is kept"
    else:
        assert first == second == (FIN | TEXT, text)


def test_a_deflate_bomb(server: Server) -> None:
    client = Client(server, "/echo", "Sec-WebSocket-Extensions: permessage-deflate").open()
    client.send(FIN | RSV1 | BINARY, packed(b"\0" * 50_000_000))
    assert client.read().close == (1009, "the message is larger than the limit")


# --- Ends ---


@pytest.mark.parametrize(
    ("payload", "answer", "told"),
    [
        (b"\x03\xe8", b"\x03\xe8", [1000, ""]),
        (b"\x0f\xa5because", b"\x0f\xa5", [4005, "because"]),
        (b"", b"", [1005, ""]),
    ],
)
def test_the_client_closes(server: Server, payload: bytes, answer: bytes, told: list[object]) -> None:
    """Disconnect: code and reason as the client sent them; 1005 without a code. RFC 6455 5.5.1: the code goes back."""
    client = Client(server, f"/echo?closed-{told[0]}").open()
    client.send(FIN | CLOSE, payload)
    assert client.read() == (FIN | CLOSE, answer)
    assert client.connection.is_closed()
    wait_seen(server, f"closed-{told[0]}", [told])


def test_a_connection_that_breaks(server: Server) -> None:
    """Disconnect: 1006 where no close frame came (RFC 6455 7.1.5)."""
    client = Client(server, "/echo?dropped").open()
    client.close()
    wait_seen(server, "dropped", [[1006, ""]])


def test_the_app_closes(server: Server) -> None:
    """Close: code and reason reach the client; nothing can be sent after it (OSError)."""
    client = Client(server, "/closes?closes").open()
    assert client.read().close == (4321, "enough")
    client.send(FIN | CLOSE, b"\x10\xe1")
    assert client.connection.is_closed()
    wait_seen(server, "closes", ["OSError", "OSError", ["websocket.disconnect", 4321, "enough"]])


def test_the_app_fails_or_returns(server: Server) -> None:
    client = Client(server, "/raises-after").open()
    assert client.read().close == (1011, "the app failed")
    client.close()
    server.wait_log("ValueError: after accept")
    client = Client(server, "/returns-after").open()
    assert client.read().close == (1000, "")


def test_an_app_that_only_sends_learns_of_the_end(server: Server) -> None:
    """Send: OSError when the WebSocket is closed (since 2.4)."""
    client = Client(server, "/pushes?pushes").open()
    assert client.read() == (FIN | TEXT, b"tick")
    client.close()
    wait_seen(server, "pushes", ["the WebSocket is closed"])


def test_mistakes_name_the_message_and_the_state(server: Server) -> None:
    client = Client(server, "/mistakes?mistakes").open()
    assert client.read() == (FIN | TEXT, b"x")
    client.close()
    wait_seen(
        server,
        "mistakes",
        [
            'websocket.send needs either "text" or "bytes"',
            'websocket.send needs either "text" or "bytes"',
            "the text of websocket.send must be str",
            "the app sent websocket.accept after websocket.accept",
            "the code of websocket.close must be 1000 to 1003, 1007 to 1014 or 3000 to 4999, not 1005",
            "the app sent http.response.start after websocket.accept",
        ],
    )


# --- Silence ---


def test_pings(asgi_server: ServerOf) -> None:
    """A silent client is asked; one that answers stays, one that does not is given up."""
    server = asgi_server("sockets", "--ws-ping-interval", "200ms", "--ws-ping-timeout", "1s")
    client = Client(server, "/echo?pinged").open()
    for _ in range(2):
        assert client.read() == (FIN | PING, b"")
        client.send(FIN | PONG)
    assert client.read() == (FIN | PING, b"")
    assert client.read().close == (1011, "no answer to a ping")
    wait_seen(server, "pinged", [[1006, ""]])


def test_a_websocket_may_have_a_longest_life(asgi_server: ServerOf) -> None:
    server = asgi_server("sockets", "--ws-lifetime", "300ms")
    client = Client(server, "/echo?old").open()
    assert client.read().close == (1001, "ws_lifetime has passed")
    wait_seen(server, "old", [[1001, "ws_lifetime has passed"]])
    client.close()
