"""Options of WebSockets."""

from hostler.config.kinds import Span, Switch, Volume, Whole
from hostler.config.option import Group, Option

__all__ = ["WebSockets"]


class WebSockets(Group):
    """How long they may be silent, and what a message may take."""

    __slots__ = ()

    heading = "WebSockets"
    about = "WebSockets of ASGI applications. Those of WSGI applications belong to the library that takes the socket."

    ws_max_size = Option(
        Volume("1", "1G"),
        "16M",
        "The largest message, decompressed; a larger one closes the WebSocket with 1009.",
        uvicorn="ws_max_size",
    )
    ws_max_frame_size = Option(
        Volume("1", "1G"),
        "16M",
        "The largest frame as it is received; a larger one closes the WebSocket with 1009.",
    )
    ws_max_queue = Option(
        Whole(1, 65536),
        32,
        "How many messages may wait for the application; beyond them nothing more is read from the client.",
        uvicorn="ws_max_queue",
    )
    ws_per_message_deflate = Option(
        Switch("takeover"),
        "on",
        "Compress messages (permessage-deflate, RFC 7692) where the client offers it. on: each message for itself, "
        "which costs no memory for silent WebSockets; takeover: with what earlier messages hold, which packs small "
        "ones better and costs some 300 KB for each WebSocket.",
        uvicorn="ws_per_message_deflate",
    )
    ws_ping_interval = Option(
        Span("0"),
        "20s",
        "After how long a silence a ping is sent; 0: never.",
        uvicorn="ws_ping_interval",
    )
    ws_ping_timeout = Option(
        Span("1s"),
        "20s",
        "How long the client may take to answer a ping before the WebSocket is closed.",
        uvicorn="ws_ping_timeout",
    )
    ws_handshake_timeout = Option(
        Span("0"),
        "10s",
        "How long the application may take to accept or refuse a WebSocket; 503 after it. 0: for ever.",
    )
    ws_lifetime = Option(
        Span("0", "365d"),
        "0",
        "How long a WebSocket may live; it is closed with 1001 after it. 0: for ever.",
    )
