"""Options that say which application is served."""

from hostler.config.kinds import Choice, Many, Maybe, Pairs, Path, Switch
from hostler.config.option import Group, Option
from hostler.config.subjects import Apps, HeaderText, Hooks, Trusted, UrlPath

__all__ = ["Application"]


class Application(Group):
    """What to serve."""

    __slots__ = ()

    heading = "Application"
    about = "What to serve, and where its code is."

    app = Option(
        Apps(),
        "none",
        "The application: module:attribute, module:factory(), module (its `application` or `app`), "
        "or path/file.py:attribute; WSGI or ASGI. Without it, the Django project of the current directory is served: "
        "its wsgi.py, or else asgi.py, which also says which settings; without one, `application` or `app` of wsgi.py, "
        "asgi.py, app.py or main.py. Several share a server: each may be followed by @/path, below which it is served, "
        "and by =http or =websocket, to have these requests only; [[app]] tables with target, path and protocols say "
        "the same. The longest path wins, then the first.",
        gunicorn="wsgi_app",
        uwsgi="module wsgi wsgi_file file mount",
        uvicorn="app",
        brief="module:attribute, module:factory() or file.py:app",
    )
    interface = Option(
        Choice({"auto": "auto", "wsgi": "wsgi", "asgi": "asgi", "asgi2": "asgi2"}),
        "auto",
        "What the applications are; auto finds out. asgi2 is the older form: a class called with the scope.",
        uvicorn="interface",
    )
    lifespan = Option(
        Choice({"auto": "auto", "on": "on", "off": "off"}),
        "auto",
        "Whether ASGI applications are told of start and end. auto: an application that raises when it is told of the "
        "start is taken for one that does not want to know; on: that ends the worker.",
        uvicorn="lifespan",
    )
    pathsend = Option(
        Switch(),
        "off",
        "Whether ASGI applications are told that they may send a file by its path or descriptor "
        "(http.response.pathsend, http.response.zerocopysend). Only for applications whose middlewares know these "
        "messages: one that compresses bodies and does not know them loses the file.",
    )
    send_after_disconnect = Option(
        Choice({"raise": "raise", "ignore": "ignore"}),
        "raise",
        "What `send()` of an ASGI application does after its client has left. raise: an OSError, as the specification "
        "says; ignore: nothing, as under daphne, so that Channels' `disconnect()` always runs. After "
        "`disconnect_grace` from the first ignored message it raises.",
    )
    root_path = Option(
        Maybe(UrlPath()),
        "none",
        "The path below which a proxy serves the application, and which it takes off: SCRIPT_NAME of WSGI, root_path "
        "of ASGI.",
        uvicorn="root_path",
    )
    prepend_root_path = Option(
        Switch(),
        "on",
        "Whether the path that ASGI applications get begins with `root_path`, as the specification says. off: it is "
        "the request's own, as under daphne.",
    )
    chdir = Option(
        Maybe(Path("DIR", "a directory")),
        "none",
        "Change to this directory before anything else is looked for. The configuration file is found first, "
        "all other relative paths follow this directory.",
        gunicorn="chdir",
        uwsgi="chdir chdir2",
        brief="change to this directory first",
    )
    pythonpath = Option(
        Many(Path("DIR", "a directory")),
        "none",
        "Directories to put in front of Python's module path, beside the current directory, which is always on it.",
        gunicorn="pythonpath",
        uwsgi="pythonpath python_path pp",
        uvicorn="app_dir",
    )
    env = Option(
        Pairs(),
        "none",
        "Environment variables of the workers, set before the application is imported: NAME=VALUE, or a table.",
        gunicorn="raw_env env",
        uwsgi="env",
    )
    hooks = Option(
        Hooks(),
        "none",
        "A Python file with functions that are called at certain moments, by the names of gunicorn's server hooks: "
        "post_fork(server, worker), when_ready(server), child_exit(server, worker), ...",
    )
    proxy_headers = Option(
        Switch("all", "scheme", "forwarded"),
        "on",
        "What is believed of proxies that `forwarded_allow_ips` trusts. on: X-Forwarded-For (the client) and "
        "X-Forwarded-Proto (the scheme); all: X-Forwarded-Host and X-Forwarded-Port too, only behind a proxy that sets "
        "or removes them, since clients can send them; scheme: X-Forwarded-Proto alone; forwarded: Forwarded "
        "(RFC 7239), and none of the others.",
        uvicorn="proxy_headers",
    )
    forwarded_allow_ips = Option(
        Trusted(),
        "127.0.0.1,::1",
        "The proxies whose word is taken: addresses and networks, or * for all. Those that come by a unix socket are "
        "trusted, unless the list is empty; unix trusts them alone. With `proxy_protocol` this is asked of the client "
        "that the PROXY header names.",
        platform=("FORWARDED_ALLOW_IPS", "{}"),
        gunicorn="forwarded_allow_ips",
        uvicorn="forwarded_allow_ips",
    )
    server_header = Option(
        Maybe(HeaderText(), word="off"),
        "hostler",
        "The value of the Server header in responses that have none of their own; off sends none.",
        uvicorn="server_header",
    )
