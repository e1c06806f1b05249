"""Options that say where connections come from."""

from hostler.config.kinds import Many, Maybe, Permissions, Switch, Whole
from hostler.config.option import Group, Option
from hostler.config.subjects import ListenAddress, Trusted, UrlPath

__all__ = ["Binding"]


class Binding(Group):
    """Where to listen."""

    __slots__ = ()

    heading = "Listening"
    about = "The addresses that connections come to. Sockets passed by systemd are used in place of `bind`."

    bind = Option(
        Many(ListenAddress(), at_least=1),
        "127.0.0.1:8000",
        "The addresses to listen on: host:port, :port (every IPv4 interface), [::]:port (every interface), port "
        "(127.0.0.1), unix:/path, unix:@name (abstract, Linux), fd://N (inherited). Port 0 lets the kernel choose.",
        short="-b",
        platform=("PORT", "0.0.0.0:{}"),
        gunicorn="bind",
        uwsgi="http_socket http11_socket http",
        uvicorn="host port uds fd",
        brief="host:port, :port or unix:/path; repeatable",
    )
    backlog = Option(
        Whole(1, 65535),
        2048,
        "How many connections may wait in the kernel until a worker accepts them. The kernel lowers it to its "
        "own limit (net.core.somaxconn).",
        gunicorn="backlog",
        uwsgi="listen",
        uvicorn="backlog",
    )
    reuse_port = Option(
        Switch(),
        "off",
        "Let other servers of the same user listen on the same TCP addresses at the same time (SO_REUSEPORT).",
        gunicorn="reuse_port",
        uwsgi="reuse_port",
    )
    proxy_protocol = Option(
        Switch("v1", "v2"),
        "off",
        "Whether connections begin with the PROXY protocol's header, which tells the client of a TCP proxy (HAProxy, "
        "AWS NLB). on: version 1 or 2; a connection without it is refused. `admin_bind` needs none. X-Forwarded fields "
        "then count only if `forwarded_allow_ips` has the client that the header names: a TCP proxy passes on what its "
        "client writes.",
        gunicorn="proxy_protocol",
    )
    proxy_allow_ips = Option(
        Trusted(),
        "127.0.0.1,::1",
        "The proxies that may send that header: addresses and networks, or * for all. Who else connects is answered "
        "403. Those that come by a unix socket may.",
        gunicorn="proxy_allow_ips proxy_allow_from",
    )
    unix_mode = Option(
        Permissions(),
        "660",
        "The permissions of the unix sockets that are created: who may connect.",
        uwsgi="chmod_socket",
    )
    admin_bind = Option(
        Many(ListenAddress()),
        "none",
        "Addresses that answer only /livez, /readyz and `metrics_path`, for probes that must not share the public "
        "port; the application is not served there. The forms are those of `bind`.",
    )
    metrics_path = Option(
        Maybe(UrlPath(), word="off"),
        "/metrics",
        "Where `admin_bind` tells the numbers of all workers, as Prometheus text.",
    )
    health_path = Option(
        Maybe(UrlPath(), word="off"),
        "off",
        "Answer the probes on the public addresses too, below this path: with /-, /-/livez (the process answers) and "
        "/-/readyz (200, or 503 while the server stops or the worker's queue is half full). They need no thread: they "
        "answer when every thread is stuck.",
    )
