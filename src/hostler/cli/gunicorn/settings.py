"""gunicorn's settings, each written once: how it is given, what it is without, and what becomes of it here.

From this table come the command line, the names that a configuration file may set, `cfg` of hooks, the translation and
docs/migrate/gunicorn.md. The names and defaults are those of gunicorn 27; a test holds them against an installed one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from hostler.config.hook_source import NAMES as HOOKS

__all__ = ["BY_FLAG", "BY_NAME", "LEVELS", "SETTINGS", "Setting", "is_on", "octal"]

# How a flag takes its value.
VALUE, SWITCH, REPEATED, OPTIONAL = "value", "switch", "repeated", "optional"
# What becomes of a setting.
HONOURED, MAPPED, NEEDLESS, REFUSED = "honoured", "mapped", "needless", "refused"


class Setting(NamedTuple):
    """One setting of gunicorn."""

    name: str
    flags: tuple[str, ...]
    takes: str
    default: Any
    fate: str
    text: str  # what it means here; why it is needless or refused
    option: str = ""  # of hostler, where it becomes one
    convert: Callable[[Any], object] = lambda value: value
    const: object = True  # what a flag without a value means


def is_on(value: object) -> bool:
    """gunicorn's idea of a truth; ValueError for what is none."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in ("true", "false", "1", "0", "yes", "no", "on", "off"):
        return value.strip().lower() in ("true", "1", "yes", "on")
    if isinstance(value, int):
        return bool(value)
    raise ValueError(f"{value!r} is neither true nor false")


def _switch(value: Any) -> str:
    return "on" if is_on(value) else "off"


def _seconds(value: Any) -> str:
    """A number of seconds, which gunicorn takes as text too."""
    return f"{value}s" if str(value).strip().isdigit() else str(value)


# gunicorn's levels, as ours.
LEVELS = {"critical": "error", "error": "error", "warning": "warning", "info": "info", "debug": "debug"}


def _level(value: Any) -> str:
    return LEVELS.get(str(value).lower(), "info")


def _fields(value: Any) -> object:
    """gunicorn's 0 is its own most."""
    return 32768 if str(value) == "0" else value


def _line(value: Any) -> object:
    return "32K" if str(value) == "0" else min(max(64, int(value)), 32768)


def _field(value: Any) -> object:
    """The largest head: gunicorn's limit is one field's."""
    return "1M" if str(value) == "0" else max(32768, int(value))


def octal(value: Any) -> str:
    """gunicorn's umask is a number, or text: octal after a 0, else decimal."""
    text = str(value)
    is_octal = text.startswith("0") and text[1:].isdigit()
    number = value if isinstance(value, int) else int(text, 8 if is_octal else 0)
    return f"{number:o}"


def _addresses(value: Any) -> str:
    """Trusted proxies: gunicorn trusts those that come by a unix socket, whatever the list says."""
    text = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return text.strip(" ,") or "unix"


def _log(value: Any) -> object:
    """A log's file: None, "" and "none" are no log."""
    return "off" if value in (None, "") else value


def _text(value: Any) -> object:
    return "none" if value in (None, "") else value


_TLS = "TLS is a proxy's business: let nginx, Caddy or HAProxy end it, and leave this out"
_H2 = "HTTP/2 is a proxy's business: it speaks HTTP/1.1 to the server behind it"
_DIRTY = "there are no dirty workers: run long jobs in a task queue, such as Celery"
_STRICT = "requests are read strictly, because leniency lets them be smuggled"
_PASTE = (
    "it names a PasteDeploy file (Pyramid's production.ini), which is not read: write a module with "
    "application = pyramid.paster.get_app('production.ini'), and name that module"
)


_DIRTY_HOOKS = ("on_dirty_starting", "dirty_post_fork", "dirty_worker_init", "dirty_worker_exit")

Convert = Callable[[Any], object]


def _same(value: Any) -> object:
    return value


def _honoured(
    name: str, flags: str, default: Any, text: str, option: str = "", convert: Convert = _same, takes: str = VALUE,
    const: object = True,
) -> Setting:  # fmt: skip
    return Setting(name, tuple(flags.split()), takes, default, HONOURED, text, option, convert, const)


def _mapped(name: str, flags: str, default: Any, text: str, option: str = "", convert: Convert = _same) -> Setting:
    return _honoured(name, flags, default, text, option, convert)._replace(fate=MAPPED)


def _needless(
    name: str, flags: str, default: Any, text: str, takes: str = VALUE, const: object = True
) -> Setting:  # fmt: skip
    return _honoured(name, flags, default, text, takes=takes, const=const)._replace(fate=NEEDLESS)


def _refused(name: str, flags: str, default: Any, text: str, takes: str = VALUE) -> Setting:
    return _honoured(name, flags, default, text, takes=takes)._replace(fate=REFUSED)


def _hook(name: str) -> Setting:
    return _honoured(name, "", None, "called at the same moments, with the same arguments")


SETTINGS: tuple[Setting, ...] = (
    # Config File
    _honoured("config", "-c --config", "./gunicorn.conf.py", "run, as gunicorn does; file: and python: too"),
    _honoured("wsgi_app", "", None, "the application, where the command line names none", "app"),
    # Server Socket
    _honoured("bind", "-b --bind", ["127.0.0.1:8000"], "where it listens", takes=REPEATED),
    _honoured("backlog", "--backlog", 2048, "connections that the kernel keeps waiting", "backlog"),
    # Worker Processes
    _honoured("workers", "-w --workers", 1, "processes", "workers"),
    _mapped("worker_class", "-k --worker-class", "sync", "see below"),
    _honoured("threads", "--threads", 1, "threads of a worker, fixed; more than one makes sync gthread"),
    _honoured("worker_connections", "--worker-connections", 1000, "connections of a worker", "worker_connections"),
    _honoured("max_requests", "--max-requests", 0, "requests of a worker; its replacement comes first", "max_requests"),
    _honoured("max_requests_jitter", "--max-requests-jitter", 0, "the same", "max_requests_jitter"),
    _mapped(
        "timeout",
        "-t --timeout",
        30,
        "sync: `request_timeout`, whose requests are answered 504 and whose worker is replaced; other "
        "classes: `worker_timeout`, for a worker that does not react",
    ),
    _honoured(
        "graceful_timeout", "--graceful-timeout", 30, "for requests that run at a stop", "graceful_timeout", _seconds
    ),
    _honoured(
        "keepalive",
        "--keep-alive",
        2,
        "where it is set; without it connections are kept for 75 s, longer than load balancers do",
        "keepalive",
        _seconds,
    ),
    _honoured("asgi_loop", "--asgi-loop", "auto", "auto, asyncio or uvloop", "loop"),
    _honoured("asgi_lifespan", "--asgi-lifespan", "auto", "auto, on or off", "lifespan"),
    _needless(
        "asgi_disconnect_grace_period",
        "--asgi-disconnect-grace-period",
        3,
        "the application is told at once that a client has left, and ends on its own",
    ),
    _honoured(
        "websocket_max_message_size", "--websocket-max-message-size", 16777216, "the largest message", "ws_max_size"
    ),
    _needless("http_parser", "--http-parser", "auto", "there is one parser"),
    # Security
    _honoured(
        "limit_request_line",
        "--limit-request-line",
        4094,
        "where it is set; without it 8 KiB; 0: 32 KiB",
        "limit_request_line",
        _line,
    ),
    _honoured(
        "limit_request_fields",
        "--limit-request-fields",
        100,
        "header fields of a request; 0: 32768",
        "limit_request_fields",
        _fields,
    ),
    _mapped(
        "limit_request_field_size",
        "--limit-request-field_size",
        8190,
        "where it is set; the limit is the whole head's, 32 KiB at least",
        "limit_request_head",
        _field,
    ),
    # Debugging
    _honoured("reload", "--reload", False, "requests wait for the new code", "reload", _switch, takes=SWITCH),
    _needless(
        "reload_engine",
        "--reload-engine",
        "auto",
        "the kernel tells where watchfiles is installed; without it files are looked at",
    ),
    _honoured(
        "reload_extra_files",
        "--reload-extra-file",
        [],
        "files that are watched too",
        "reload_extra_files",
        takes=REPEATED,
    ),
    _refused("spew", "--spew", False, "a trace of every line is a debugger's business", takes=SWITCH),
    _honoured("check_config", "--check-config", False, "loads the application too", takes=SWITCH),
    _honoured("print_config", "--print-config", False, "gunicorn's settings, and what becomes of each", takes=SWITCH),
    # Server Mechanics
    _honoured(
        "preload_app",
        "--preload",
        False,
        "in a process of its own, so that a reload loads new code",
        "preload",
        _switch,
        takes=SWITCH,
    ),
    _needless(
        "sendfile",
        "--no-sendfile",
        None,
        "wsgi.file_wrapper always sends files by the kernel",
        takes=SWITCH,
        const=False,
    ),
    _honoured("reuse_port", "--reuse-port", False, "SO_REUSEPORT", "reuse_port", _switch, takes=SWITCH),
    _honoured("chdir", "--chdir", None, "the directory, which is on Python's path too", "chdir"),
    _honoured(
        "daemon", "-D --daemon", False, "the command ends when the server serves", "daemon", _switch, takes=SWITCH
    ),
    _honoured("raw_env", "-e --env", [], "variables of the workers", "env", takes=REPEATED),
    _honoured("pidfile", "-p --pid", None, "the pid file", "pidfile", _text),
    _needless("worker_tmp_dir", "--worker-tmp-dir", None, "a heartbeat is a number in shared memory, no file"),
    _honoured("user", "-u --user", None, "of the workers", "user"),
    _honoured("group", "-g --group", None, "of the workers", "group"),
    _honoured(
        "umask",
        "-m --umask",
        0,
        "where it is set; without it the process's own. Unix sockets get 0777 less this mask",
        "umask",
        octal,
    ),
    _needless("initgroups", "--initgroups", False, "a user's groups are always set", takes=SWITCH),
    _honoured("tmp_upload_dir", "", None, "for large request bodies", "temp_dir", _text),
    _mapped(
        "secure_scheme_headers",
        "",
        {"X-FORWARDED-PROTOCOL": "ssl", "X-FORWARDED-PROTO": "https", "X-FORWARDED-SSL": "on"},
        "X-Forwarded-Proto: https, and no other field",
    ),
    _honoured(
        "forwarded_allow_ips",
        "--forwarded-allow-ips",
        "127.0.0.1,::1",
        "proxies whose word is taken",
        "forwarded_allow_ips",
        _addresses,
    ),
    _honoured("pythonpath", "--pythonpath", None, "directories for Python's path", "pythonpath", _text),
    _refused("paste", "--paste --paster", None, _PASTE),
    _refused("raw_paste_global_conf", "--paste-global", [], _PASTE, takes=REPEATED),
    _honoured(
        "proxy_protocol",
        "--proxy-protocol",
        "off",
        "off, v1, v2, auto; a connection without the header is refused",
        takes=OPTIONAL,
        const="auto",
    ),
    _honoured(
        "proxy_allow_ips",
        "--proxy-allow-from",
        "127.0.0.1,::1",
        "proxies that may send that header",
        "proxy_allow_ips",
        _addresses,
    ),
    _refused(
        "protocol",
        "--protocol",
        "http",
        "uwsgi packets are not understood: have nginx use proxy_pass in place of uwsgi_pass",
    ),
    _needless("uwsgi_allow_ips", "--uwsgi-allow-from", "127.0.0.1,::1", "uwsgi packets are not understood"),
    _needless("permit_obsolete_folding", "--permit-obsolete-folding", False, _STRICT, takes=SWITCH),
    _needless("strip_header_spaces", "--strip-header-spaces", False, _STRICT, takes=SWITCH),
    _needless(
        "permit_unconventional_http_method",
        "--permit-unconventional-http-method",
        False,
        "any token is a method (RFC 9110)",
        takes=SWITCH,
    ),
    _needless(
        "permit_unconventional_http_version", "--permit-unconventional-http-version", False, _STRICT, takes=SWITCH
    ),
    _needless(
        "casefold_http_method", "--casefold-http-method", False, "methods are case-sensitive (RFC 9110)", takes=SWITCH
    ),
    _needless(
        "forwarder_headers",
        "--forwarder-headers",
        "SCRIPT_NAME,PATH_INFO",
        "names with underscores are dropped in every request; the path below which a proxy serves the "
        "application is `root_path`",
    ),
    _needless("header_map", "--header-map", "drop", "fields whose name has an underscore are dropped"),
    _honoured(
        "root_path", "--root-path", "", "the path below which a proxy serves the application", "root_path", _text
    ),
    # Logging
    _honoured("accesslog", "--access-logfile", None, "the access log; - is standard output", "access_log", _log),
    _honoured(
        "access_log_format",
        "--access-logformat",
        '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"',
        "with the same atoms",
        "access_log_format",
    ),
    _honoured("errorlog", "--error-logfile --log-file", "-", "the error log; - is standard error", "error_log"),
    _honoured("loglevel", "--log-level", "info", "critical is error, an unknown level info", "log_level", _level),
    _honoured(
        "capture_output",
        "--capture-output",
        False,
        "what workers print goes to the error log",
        "capture_output",
        _switch,
        takes=SWITCH,
    ),
    _mapped(
        "logger_class",
        "--logger-class",
        "gunicorn.glogging.Logger",
        "made in each worker: its filters, handlers and formats are used. Its access() and atoms() are not called",
    ),
    _honoured("logconfig", "--log-config", None, "an INI file for Python's logging", "log_config", _text),
    _honoured("logconfig_dict", "", {}, "a dict for Python's logging", "log_config"),
    _honoured("logconfig_json", "--log-config-json", None, "a JSON file for Python's logging", "log_config", _text),
    _honoured("syslog_addr", "--log-syslog-to", "udp://localhost:514", "where syslog is, when `syslog` is on"),
    _honoured("syslog", "--log-syslog", False, "both logs go to syslog too", takes=SWITCH),
    _honoured("syslog_prefix", "--log-syslog-prefix", None, "what its lines begin with", "syslog_prefix", _text),
    _honoured("syslog_facility", "--log-syslog-facility", "user", "its facility", "syslog_facility"),
    _honoured(
        "disable_redirect_access_to_syslog",
        "--disable-redirect-access-to-syslog",
        False,
        "only the error log goes to syslog",
        takes=SWITCH,
    ),
    _needless(
        "enable_stdio_inheritance",
        "-R --enable-stdio-inheritance",
        False,
        "standard output and error are always inherited",
        takes=SWITCH,
    ),
    _honoured(
        "statsd_host", "--statsd-host", None, "host:port or unix://path; counted up each second", "statsd", _text
    ),
    _honoured("dogstatsd_tags", "--dogstatsd-tags", "", "tags of each metric", "statsd_tags", _text),
    _honoured("statsd_prefix", "--statsd-prefix", "", "before the names, which are gunicorn's", "statsd_prefix", _text),
    _needless("enable_backlog_metric", "--enable-backlog-metric", False, "the backlog is always sent", takes=SWITCH),
    # Process Naming
    _honoured("proc_name", "-n --name", None, "what processes are called", "proc_name", _text),
    _needless("default_proc_name", "", "gunicorn", "processes keep their name unless proc_name is set"),
    # Server Hooks
    *(_hook(name) for name in HOOKS),
    _needless("ssl_context", "", None, _TLS),  # it matters where there is a certificate, which is refused
    # SSL
    _refused("keyfile", "--keyfile", None, _TLS),
    _refused("certfile", "--certfile", None, _TLS),
    _needless("ssl_version", "--ssl-version", 2, _TLS),
    _refused("cert_reqs", "--cert-reqs", 0, _TLS),
    _refused("ca_certs", "--ca-certs", None, _TLS),
    _needless("suppress_ragged_eofs", "--suppress-ragged-eofs", True, _TLS, takes=SWITCH),
    _needless("do_handshake_on_connect", "--do-handshake-on-connect", False, _TLS, takes=SWITCH),
    _refused("ciphers", "--ciphers", None, _TLS),
    # HTTP/2
    _needless("http_protocols", "--http-protocols", "h1", _H2),
    _refused("http2_cleartext", "--http2-cleartext", "off", _H2),
    _needless("http2_max_concurrent_streams", "--http2-max-concurrent-streams", 100, _H2),
    _needless("http2_initial_window_size", "--http2-initial-window-size", 65535, _H2),
    _needless("http2_max_frame_size", "--http2-max-frame-size", 16384, _H2),
    _needless("http2_max_header_list_size", "--http2-max-header-list-size", 65536, _H2),
    # Dirty Arbiters
    _refused("dirty_apps", "--dirty-app", [], _DIRTY, takes=REPEATED),
    _refused("dirty_workers", "--dirty-workers", 0, _DIRTY),
    _needless("dirty_timeout", "--dirty-timeout", 300, _DIRTY),
    _needless("dirty_threads", "--dirty-threads", 1, _DIRTY),
    _needless("dirty_graceful_timeout", "--dirty-graceful-timeout", 30, _DIRTY),
    *(_needless(name, "", None, _DIRTY) for name in _DIRTY_HOOKS),
    # Control
    _honoured(
        "control_socket", "--control-socket", "gunicorn.ctl", "a path; without it a name of its own", "control", _text
    ),
    _needless("control_socket_mode", "--control-socket-mode", 0o600, "only the same user and root may ask"),
    _honoured("control_socket_disable", "--no-control-socket", False, "no control socket", takes=SWITCH),
)

BY_NAME = {setting.name: setting for setting in SETTINGS}
BY_FLAG = {flag: setting for setting in SETTINGS for flag in setting.flags}
