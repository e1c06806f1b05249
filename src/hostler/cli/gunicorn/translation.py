"""gunicorn's settings as options of hostler."""

from __future__ import annotations

import contextlib
import os
import re
import socket
from collections.abc import Callable
from typing import Any, NamedTuple

from hostler.cli.gunicorn import classes
from hostler.cli.gunicorn.reading import Given, Value
from hostler.cli.gunicorn.settings import LEVELS, NEEDLESS, REFUSED, SETTINGS, is_on, octal
from hostler.config.hook_source import HookSource
from hostler.config.kinds import Span, Whole
from hostler.config.settings import OPTIONS, Assignment
from hostler.config.subjects import LogFormat
from hostler.config.units import Duration
from hostler.errors import ConfigError

__all__ = ["Translated", "settings_of", "translate"]

_DEFAULT_PORT = 8000
# The most that a worker runs at once here, threads or greenlets.
_MOST_AT_ONCE = 256
# An atom with its conversion: flags, width, precision and type as printf's; "" where the type is missing.
_ATOM = re.compile(r"%\(([^)]*)\)((?:[-+#0]*\d*(?:\.\d+)?[sdifrca])?)")


class Translated(NamedTuple):
    """What was given, in hostler's options."""

    assignments: list[Assignment]
    defaults: list[Assignment]  # what gunicorn does when nobody says otherwise
    warnings: list[str]


def translate(given: Given, needs_app: bool = True) -> Translated:
    """Translate, or raise ConfigError, one line, for the first that cannot be honoured."""
    if needs_app and "wsgi_app" not in given.values:
        raise ConfigError("the application is missing: hostler gunicorn [options] shop.wsgi:application")
    return _Translation(given).result()


def settings_of(given: Given) -> dict[str, Any]:
    """`cfg` of hooks: all settings, with gunicorn's defaults where nothing was given; numbers as numbers."""
    values: dict[str, Any] = {setting.name: setting.default for setting in SETTINGS}
    for name, (value, _) in given.values.items():
        default = values[name]
        is_number = isinstance(default, int) and not isinstance(default, bool) and str(value).strip().isdigit()
        values[name] = int(value) if is_number else value
    values["env"] = dict(pair.split("=", 1) for pair in _listed(values["raw_env"]) if "=" in pair)
    values["is_ssl"] = False
    values["default_proc_name"] = values["wsgi_app"] or values["default_proc_name"]
    values["proc_name"] = values["proc_name"] or values["default_proc_name"]
    values["worker_class_str"] = _class_name(values["worker_class"], int(str(values["threads"])))
    values["address"] = _listed(values["bind"])
    return values


def _class_name(value: object, threads: int) -> str:
    """`cfg.worker_class_str`: the name, where more than one thread makes sync gthread."""
    name = value.__name__ if isinstance(value, type) else str(value)
    return "gthread" if threads > 1 and (name == "sync" or name.endswith("SyncWorker")) else name


class _Translation:
    def __init__(self, given: Given) -> None:
        self._given = given
        self._values: dict[str, Assignment] = {}
        self._defaults: dict[str, Assignment] = {}
        self._warnings: list[str] = []
        self._around: Callable[[Any], Any] | None = None

    def result(self) -> Translated:
        for setting in SETTINGS:
            found = self._given.values.get(setting.name)
            if found is None:
                continue
            is_usual = str(found.value) == str(setting.default) or found.value in (None, "", [], {})
            if is_usual and setting.fate in (NEEDLESS, REFUSED):
                continue
            if setting.fate == REFUSED:
                raise ConfigError(f"{found.label}: {setting.text}")
            if setting.fate == NEEDLESS:
                self._warnings.append(f"{found.label} changes nothing: {setting.text}")
            elif setting.option and found.value is not None:
                self._set(setting.option, self._converted(setting.convert, found), found.label)
        if self._given.more:
            named = " ".join(self._given.more)
            self._warnings.append(f"further arguments mean nothing, as under gunicorn: {named}")
        self._default("workers", 1)
        self._bind()
        kind = self._worker_class()
        self._script_name(kind)
        self._pythonpath()
        self._logs()
        self._proxies()
        self._syslog()
        self._hooks()
        if self._is_on("control_socket_disable"):
            self._set("control", "off", "--no-control-socket")
        return Translated(list(self._values.values()), list(self._defaults.values()), self._warnings)

    def _set(self, option: str, value: object, label: str) -> None:
        if value not in (None, {}, []):
            bounded = within_bounds(option, value)
            if bounded is not value:
                self._warnings.append(f"{label}: {value} is out of bounds here; {bounded} is used")
            self._values[option] = Assignment(option, bounded, label, label)

    def _default(self, option: str, value: object) -> None:
        bounded = within_bounds(option, value)
        self._defaults[option] = Assignment(option, bounded, "hostler gunicorn", "hostler gunicorn")

    def _converted(self, convert: Any, found: Value) -> object:
        try:
            return convert(found.value)
        except (ValueError, TypeError) as error:
            raise ConfigError(f"{found.label}: {error}") from None

    def _is_on(self, name: str) -> bool:
        found = self._given.values.get(name)
        return found is not None and bool(self._converted(is_on, found))

    def _whole(self, name: str, default: int) -> tuple[int, str]:
        """A number, and who says it."""
        found = self._given.values.get(name)
        if found is None:
            return default, ""
        if isinstance(found.value, bool) or not str(found.value).strip().isdigit():
            raise ConfigError(f"{found.label}: {str(found.value)!r} is not a whole number >= 0")
        return int(found.value), found.label

    def _bind(self) -> None:
        found = self._given.values.get("bind")
        if found is not None:
            self._set("bind", [address(text) for text in _listed(found.value)], found.label)
        mask = self._given.values.get("umask")
        if mask is None:
            self._default("unix_mode", "777")
        else:
            mode = 0o777 & ~int(str(self._converted(octal, mask)), 8)
            self._set("unix_mode", f"{mode:o}", mask.label)

    def _script_name(self, kind: str) -> None:
        """SCRIPT_NAME in the environment is the path below which a WSGI application is served, and part of the URLs."""
        found = self._given.values.get("raw_env", Value([], ""))
        pairs = dict(pair.split("=", 1) for pair in _listed(found.value) if "=" in pair)
        path = pairs.get("SCRIPT_NAME", os.environ.get("SCRIPT_NAME", "")).rstrip("/")
        app = self._values.get("app")
        if path.startswith("/") and app is not None and kind != classes.LOOP:
            self._set("app", f"{app.value}@{path}", app.label)

    def _worker_class(self) -> str:
        """What runs the requests: the class, or what `threads` makes of it."""
        found = self._given.values.get("worker_class", Value("sync", "worker_class"))
        chosen = classes.find(found.value, found.label, self._folders())
        if chosen.notice:
            self._warnings.append(f"{found.label} {chosen.notice}")
        threads, label = self._whole("threads", 1)
        kind = classes.THREADS if chosen.kind == classes.SERIAL and threads > 1 else chosen.kind
        if kind in (classes.SERIAL, classes.THREADS):
            put = self._set if label else lambda option, value, label: self._default(option, value)
            put("threads", max(1, threads), label)
        elif kind == classes.OWN and threads > 1:
            self._set("threads", threads, label)
        elif kind == classes.GREENLETS:
            # The name stays in the label: a worker refuses an application that imports eventlet (`fit_driver`).
            self._set("driver", "gevent", f"{found.label} eventlet" if chosen.is_eventlet else found.label)
            if chosen.is_websocket:
                self._around = with_websockets
                self._warnings += missing_websockets(found.label)
            most, label = self._whole("worker_connections", 1000)
            self._default("max_threads", max(1, min(most, _MOST_AT_ONCE)))
            if label and most > _MOST_AT_ONCE:
                self._warnings.append(f"{label}: {_MOST_AT_ONCE} requests run at once, at most; others wait")
        elif kind == classes.LOOP:
            self._default("interface", "asgi")
            self._default("proxy_headers", "on")
            if chosen.loop:
                self._default("loop", chosen.loop)
            for option, value in chosen.options.items():
                self._default(option, value)
        timeout, label = self._whole("timeout", 30)
        option = "request_timeout" if kind == classes.SERIAL else "worker_timeout"
        if label:
            self._set(option, f"{timeout}s", label)
        else:
            self._default(option, f"{timeout}s")
        return kind

    def _pythonpath(self) -> None:
        """gunicorn takes directories that are not there, as Python does."""
        found = self._given.values.get("pythonpath")
        if found is None or not found.value:
            return
        base, *folders = self._folders()
        there = [folder for folder in folders if os.path.isdir(os.path.join(base, folder))]
        if there != folders:
            missing = ", ".join(folder for folder in folders if folder not in there)
            self._warnings.append(f"{found.label}: the directory does not exist: {missing}")
        self._values.pop("pythonpath", None)
        self._set("pythonpath", there, found.label)

    def _folders(self) -> list[str]:
        """Where the application's modules are looked for, as in a worker: the directory, then pythonpath."""
        start = self._given.values.get("chdir")
        added = self._given.values.get("pythonpath")
        folders = [str(start.value) if start and start.value else os.getcwd()]
        return [*folders, *_listed(added.value if added and added.value else [])]

    def _proxies(self) -> None:
        """gunicorn takes the scheme from a trusted proxy, and leaves the client's address to the application."""
        if "proxy_headers" not in self._defaults:
            self._default("proxy_headers", "scheme")
        if os.environ.get("FORWARDED_ALLOW_IPS") == "":  # to gunicorn no list, to others no variable
            self._default("forwarded_allow_ips", "unix")
        found = self._given.values.get("secure_scheme_headers")
        if found is not None:
            wanted = {str(name).upper(): value for name, value in dict(found.value).items()}
            if not wanted:
                self._set("proxy_headers", "off", found.label)
            elif wanted.get("X-FORWARDED-PROTO") != "https":
                names = ", ".join(wanted)
                raise ConfigError(f"{found.label}: the scheme is read from X-Forwarded-Proto alone, not from {names}")
        found = self._given.values.get("proxy_protocol")
        if found is not None:
            value = str(found.value).lower()
            known = {"auto": "on", "true": "on", "false": "off"}
            self._set("proxy_protocol", known.get(value, value), found.label)

    def _logs(self) -> None:
        """What gunicorn takes for a level or a format, though it is none."""
        found = self._given.values.get("loglevel")
        if found is not None and str(found.value).lower() not in LEVELS:
            self._warnings.append(f"{found.label}: {found.value} is no level; info is used, as under gunicorn")
            self._set("log_level", "info", found.label)
        found = self._given.values.get("access_log_format")
        if found is not None and isinstance(found.value, str):
            text, changes = readable_format(found.value)
            self._set("access_log_format", text, found.label)
            self._warnings += [f"{found.label}: {change}" for change in changes]

    def _syslog(self) -> None:
        if not self._is_on("syslog"):
            return
        found = self._given.values.get("syslog_addr", Value("udp://localhost:514", "syslog_addr"))
        self._set("syslog", found.value, found.label)
        if self._is_on("disable_redirect_access_to_syslog"):
            self._set("syslog_access", "off", "--disable-redirect-access-to-syslog")

    def _hooks(self) -> None:
        given = self._given
        found = given.values.get("logger_class")
        settings = settings_of(given)
        maker = logger_maker(found.value, settings) if found is not None else None
        source = HookSource(given.path, given.hooks, settings, True, maker, self._around)
        self._set("hooks", source, given.path or "hostler gunicorn")


def logger_maker(value: object, settings: dict[str, Any]) -> Callable[[], Any] | None:
    """What makes an object of the operator's logger class in a worker; None for gunicorn's own classes."""
    name = f"{value.__module__}.{value.__qualname__}" if isinstance(value, type) else str(value or "")
    if name in ("", "gunicorn.glogging.Logger", "gunicorn.instrument.statsd.Statsd") or name.startswith("egg:"):
        return None

    def make() -> Any:
        from importlib import import_module

        from hostler.hooks import Settings

        module, _, attribute = name.rpartition(".")
        found = value if isinstance(value, type) else getattr(import_module(module), attribute)
        return found(Settings(settings))

    return make


def missing_websockets(label: str) -> list[str]:
    """A warning where gevent-websocket is not installed."""
    from importlib.util import find_spec

    is_there = find_spec("geventwebsocket") is not None
    return [] if is_there else [f"{label}: gevent-websocket is not installed: there is no wsgi.websocket"]


def with_websockets(app: Any) -> Any:
    """In a worker: a WSGI application with the WebSockets of gevent-websocket."""
    from hostler.integrations.geventwebsocket import around

    return around(app)


def within_bounds(option: str, value: object) -> object:
    """The value itself, or the nearest that the option takes: gunicorn knows no bounds of this kind."""
    kind = OPTIONS[option].kind
    kind = getattr(kind, "inner", kind)
    try:
        if isinstance(kind, Whole):
            number = int(str(value))
            return value if kind.maximum is None or number <= kind.maximum else kind.maximum
        if isinstance(kind, Span):
            seconds = Duration.parse(value)
            span = min(max(seconds, kind.minimum), kind.maximum)
            return value if span == seconds else str(span)
    except ValueError:  # no number: the option has the words for that
        pass
    return value


def readable_format(text: str) -> tuple[str, list[str]]:
    """An access log format of which every atom can be written, and what was changed.

    gunicorn logs "-" for an atom that it does not know.
    """
    changes: list[str] = []

    def atom(match: re.Match[str]) -> str:
        name, ending = match[1], match[2]
        if not LogFormat.is_atom(name):
            changes.append(f'there is no atom %({name})s; "-" stands in its place')
            return "-"
        if ending != "s":
            changes.append(f"{match[0]} is read as %({name})s")
        return f"%({name})s"

    return _ATOM.sub(atom, text), changes


def address(text: str) -> str:
    """One of gunicorn's addresses as one of ours."""
    text = text.strip().removeprefix("tcp://")
    if text.startswith("unix://"):
        return f"unix:{text.removeprefix('unix://')}"
    is_host = not text.startswith(("unix:", "fd://")) and not text.isdigit() and text
    has_port = text.startswith(":") or (":" in text and not text.endswith("]"))
    if not is_host:
        return text
    host, _, port = text.rpartition(":") if has_port else (text, "", str(_DEFAULT_PORT))
    if host and not host.strip("0123456789."):  # 0, 127.1: inet_aton(3) reads these as the system's resolver does
        with contextlib.suppress(OSError):
            host = socket.inet_ntoa(socket.inet_aton(host))
    return f"{host}:{port}"


def _listed(value: object) -> list[str]:
    """A setting that is a list, or a text with commas."""
    items = value if isinstance(value, list | tuple) else str(value).split(",")
    return [part.strip() for item in items for part in str(item).split(",") if part.strip()]
