"""Options that bound every wait."""

from hostler.config.kinds import Span, Volume
from hostler.config.option import Group, Option

__all__ = ["Timeouts"]


class Timeouts(Group):
    """How long clients, workers and the application may take."""

    __slots__ = ()

    heading = "Timeouts"
    about = "How long anything may take. A client that is too slow costs a connection, never a thread."

    header_timeout = Option(
        Span("100ms"),
        "15s",
        "The time for a whole request head, from its first byte (of the first request: from the connection's "
        "start). Single bytes do not extend it; 408 after it.",
        uwsgi="http_timeout",
    )
    body_timeout = Option(
        Span("100ms"),
        "15s",
        "The time a request body is given before `min_rate` is asked of it.",
        uwsgi="socket_timeout",
    )
    min_rate = Option(
        Volume("0", "1G"),
        256,
        "The slowest that a request body may arrive, on average after `body_timeout`; 408 below it. 0 lets a "
        "body take for ever.",
        unit="bytes per second",
    )
    read_timeout = Option(
        Span("0"),
        "30s",
        "How long a client may send nothing in the middle of a request head, a request body or a WebSocket message, "
        "however much it has sent before; 408, for WebSockets 1008. 0: for ever.",
    )
    keepalive = Option(
        Span("0"),
        "75s",
        "How long a connection may be idle between two requests. It should be longer than the keep-alive of "
        "the load balancer in front (60s for most), which must be the one to close; 0 closes after each response.",
        gunicorn="keepalive keep_alive",
        uwsgi="http_keepalive so_keepalive",
        uvicorn="timeout_keep_alive",
    )
    write_timeout = Option(
        Span("100ms"),
        "60s",
        "How long a client may take nothing of a response before the connection is closed.",
        uwsgi="so_write_timeout socket_write_timeout",
    )
    request_timeout = Option(
        Span("0"),
        "0",
        "How long the application may take for one request. Longer ones are logged with the Python stack of their "
        "thread and answered 504 when nothing was sent yet; the worker is replaced, because a thread cannot be ended "
        "from outside, and finishes its other requests. 0: no limit.",
        gunicorn="timeout",
        uwsgi="harakiri http_harakiri",
        brief="for one request [default: no limit]",
    )
    slow_request = Option(
        Span("0"),
        "10s",
        "Requests that run longer than this without beginning their response are logged, once, with the Python stack "
        "of their thread; nothing else happens to them. 0: never.",
        uwsgi="log_slow",
    )
    worker_timeout = Option(
        Span("0"),
        "30s",
        "How long a worker may be unable to run any Python code (native code keeps the GIL, the "
        "process is stopped) before it is replaced and its requests are cut; 0: for ever.",
    )
    graceful_timeout = Option(
        Span("0"),
        "30s",
        "How long running requests may take to end after a stop was asked for; what is left is cut, and named "
        "in the log.",
        gunicorn="graceful_timeout",
        uwsgi="worker_reload_mercy reload_mercy",
        uvicorn="timeout_graceful_shutdown",
        brief="for running requests at a stop [default: 30s]",
    )
    stream_drain = Option(
        Span("0"),
        "2s",
        "How long an open stream of an ASGI application (a response that has begun, without a Content-Length: "
        "server-sent events, MCP) may go on after a stop or a reload was asked for. Then the application reads "
        "http.disconnect, as if the client had left. At the end of graceful_timeout its task is cancelled. Raise it "
        "where streams are finite and must not be cut, up to graceful_timeout.",
    )
    disconnect_grace = Option(
        Span("0"),
        "3s",
        "How long the task of a streaming ASGI response may go on after its client has left, without waiting in "
        "receive() or sending, before it is cancelled: an idle stream would never learn of it. 0: for ever.",
        gunicorn="asgi_disconnect_grace_period",
    )
    drain_delay = Option(
        Span("0"),
        "0",
        "How long the server serves on after a stop was asked for, while /readyz answers 503: the time that a load "
        "balancer needs to send its connections elsewhere (5s to 15s on Kubernetes).",
    )
    boot_timeout = Option(
        Span("0"),
        "0",
        "How long a worker may take to import the application before it is ended and counted as failed; 0 "
        "waits for ever.",
    )
