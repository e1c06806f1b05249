"""`hostler daphne`: daphne's command line, as it is typed today.

Each flag becomes an assignment to an option of hostler, so that its value is checked like any other. What has no
meaning here is accepted with one warning; what cannot be honoured and matters stops the start.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

from hostler.config.names import closest, did_you_mean
from hostler.config.settings import Assignment
from hostler.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hostler.config import Config

__all__ = ["Translated", "daphne", "translate"]

_LISTEN_FDS_START = 3  # sd_listen_fds(3)
_LEVELS = {0: "warning", 1: "info", 2: "info", 3: "debug"}


class Translated(NamedTuple):
    """What a daphne command line says, in hostler's options."""

    assignments: list[Assignment]  # what was typed
    warnings: list[str]
    request: str = ""  # "help" or "version" when that was asked for instead
    defaults: tuple[Assignment, ...] = ()  # what daphne does when nobody says otherwise


class _Flag(NamedTuple):
    """One of daphne's flags: its spellings, whether it takes a value, and what it means."""

    names: tuple[str, ...]
    takes_value: bool
    meaning: str
    option: str = ""  # of hostler; empty: `_special` knows
    convert: Callable[[str], object] = str


def _seconds(text: str) -> str:
    """daphne's seconds; -1 is its "never", which is 0 here."""
    return "0" if text in ("-1", "0") else f"{text}s" if text.replace(".", "", 1).isdigit() else text


def _patience(text: str) -> str:
    """daphne's 0 is "never", which has no word here: a day is the most."""
    seconds = _seconds(text)
    return "1d" if seconds == "0" else seconds


def _size(text: str) -> str:
    """daphne's 0 is "no limit"; here there is always one."""
    return "1G" if text == "0" else text


def _path(text: str) -> str:
    """daphne's own default is an empty one, and scripts pass it on."""
    return text or "none"


def _level(text: str) -> str:
    if not text.isdigit() or int(text) not in _LEVELS:
        raise ConfigError(f'-v: "{text}" is not a verbosity from 0 to 3')
    return _LEVELS[int(text)]


_FLAGS = (
    _Flag(("-b", "--bind"), True, "the address to listen on (with -p; 127.0.0.1)"),
    _Flag(("-p", "--port"), True, "the port to listen on (8000)"),
    _Flag(("-u", "--unix-socket"), True, "a unix socket to listen on"),
    _Flag(("--fd",), True, "an inherited descriptor to listen on"),
    _Flag(("-e", "--endpoint"), True, "tcp:PORT[:interface=HOST], unix:PATH, fd:fileno=N, systemd:…; may be repeated"),
    _Flag(("-t", "--http-timeout"), True, "request_timeout", "request_timeout", _seconds),
    _Flag(("--websocket_timeout", "--websocket-timeout"), True, "ws_lifetime (86400)", "ws_lifetime", _seconds),
    _Flag(
        ("--websocket_connect_timeout", "--websocket-connect-timeout"),
        True,
        "ws_handshake_timeout (5)",
        "ws_handshake_timeout",
        _seconds,
    ),
    _Flag(("--ping-interval",), True, "ws_ping_interval (20)", "ws_ping_interval", _seconds),
    _Flag(("--ping-timeout",), True, "ws_ping_timeout (30; 0: a day)", "ws_ping_timeout", _patience),
    _Flag(("--websocket-max-message-size",), True, "ws_max_size (1 MiB; 0: 1 GiB)", "ws_max_size", _size),
    _Flag(("--websocket-max-frame-size",), True, "ws_max_frame_size (1 MiB; 0: 1 GiB)", "ws_max_frame_size", _size),
    _Flag(("--application-close-timeout",), True, "accepted: applications end on their own here"),
    _Flag(("-v", "--verbosity"), True, "log_level", "log_level", _level),
    _Flag(("--access-log",), True, "access_log: a file, or - for standard output", "access_log"),
    _Flag(("--log-fmt",), True, "accepted: the error log has one form"),
    _Flag(("--root-path",), True, "root_path", "root_path", _path),
    _Flag(("--proxy-headers",), False, "take the client from proxies in forwarded_allow_ips"),
    _Flag(("--proxy-headers-host",), True, "X-Forwarded-For, the only one that is read"),
    _Flag(("--proxy-headers-port",), True, "X-Forwarded-Port, the only one that is read"),
    _Flag(("-s", "--server-name"), True, "server_header", "server_header"),
    _Flag(("--no-server-name",), False, "no Server header"),
)
_BY_NAME = {name: flag for flag in _FLAGS for name in flag.names}
_REQUESTS = {"-h": "help", "--help": "help", "--version": "version"}
# daphne's own defaults, where ours are others.
_DEFAULTS = (
    ("access_log", "-"),  # at -v 0 there is none
    ("bind", ["127.0.0.1:8000"]),
    ("interface", "asgi"),
    ("prepend_root_path", "off"),
    ("proxy_headers", "off"),
    ("send_after_disconnect", "ignore"),
    ("server_header", "daphne"),
    ("unix_mode", "666"),  # Twisted's; nginx may run as another user
    ("ws_lifetime", "86400s"),
    ("ws_handshake_timeout", "5s"),
    ("ws_ping_timeout", "30s"),
    ("ws_max_size", "1M"),
    ("ws_max_frame_size", "1M"),
    ("workers", 1),  # channel layers in memory reach one process only
)
_REFUSED = {
    "ssl": "TLS is a proxy's business: let nginx, Caddy or HAProxy end it, and listen on tcp: or unix:",
    "le": "certificates are a proxy's business: Caddy and others fetch them, and pass on to tcp: or unix:",
    "onion": "an onion service is set up in tor, which passes on to tcp: or unix:",
    "haproxy": "write the endpoint without haproxy:, and set HOSTLER_PROXY_PROTOCOL=on",
}


def daphne(arguments: list[str]) -> int:
    """Serve what a daphne command line says."""
    given = translate(arguments)
    if given.request == "help":
        print(_help())
        return 0
    if given.request == "version":
        from hostler.cli.version import show

        return show()
    for warning in given.warnings:
        print(f"hostler: {warning}", file=sys.stderr)
    from hostler.config import load
    from hostler.launcher import run

    def read() -> Config:
        return load(given.assignments, defaults=given.defaults)

    return run(read(), reread=read)


def translate(arguments: Sequence[str]) -> Translated:
    """Read daphne's arguments. Raises ConfigError, one line, for the first that cannot be honoured."""
    reader = _Reader()
    waiting = list(reversed(arguments))
    while waiting:
        argument = waiting.pop()
        if argument in _REQUESTS:
            return Translated([], [], _REQUESTS[argument])
        if argument == "--":
            while waiting:
                reader.positional(waiting.pop())
            break
        if not argument.startswith("-") or argument == "-":
            reader.positional(argument)
            continue
        name, equals, value = argument.partition("=")
        if not argument.startswith("--") and len(argument) > 2 and argument[:2] in _BY_NAME:
            name, equals, value = argument[:2], "=", argument[2:].removeprefix("=")  # -p9001
        flag = _flag(name)
        if flag.takes_value and not equals:
            if not waiting or waiting[-1] in _BY_NAME:
                raise ConfigError(f"{name} needs a value: {flag.meaning}")
            value = waiting.pop()
        elif equals and not flag.takes_value:
            raise ConfigError(f"{name} takes no value")
        reader.take(flag, name, value)
    return reader.result()


def _flag(name: str) -> _Flag:
    """The flag of that name or, as argparse has it, the only one that begins so."""
    if name in _BY_NAME:
        return _BY_NAME[name]
    begun = {flag for known, flag in _BY_NAME.items() if name.startswith("--") and known.startswith(name)}
    if len(begun) == 1:
        return begun.pop()
    raise ConfigError(f'daphne has no option "{name}"{did_you_mean(closest(name, list(_BY_NAME)))}')


class _Reader:
    """Gathers what the flags say."""

    def __init__(self) -> None:
        self._values: dict[str, Assignment] = {}
        self._warnings: list[str] = []
        self._endpoints: list[str] = []
        self._host = ""
        self._port = ""

    def positional(self, application: str) -> None:
        if "app" in self._values:
            raise ConfigError(f'unexpected "{application}": the application is named already')
        self._set("app", application, "APPLICATION")

    def take(self, flag: _Flag, name: str, value: str) -> None:
        if flag.option:
            self._set(flag.option, flag.convert(value), name)
            return
        match flag.names[-1]:
            case "--bind":
                self._host = value
            case "--port":
                self._port = value
            case "--unix-socket":
                self._endpoints.append(f"unix:{value}")
            case "--fd":
                self._endpoints.append(f"fd://{value}")
            case "--endpoint":
                self._endpoints.append(endpoint(value))
                mode = next((part for part in _split(value) if part.startswith("mode=")), "")
                if mode:
                    self._set("unix_mode", mode.removeprefix("mode="), name)
            case "--proxy-headers":
                self._set("proxy_headers", "on", name)
            case "--no-server-name":
                self._set("server_header", "off", name)
            case "--proxy-headers-host" | "--proxy-headers-port":
                self._only(name, value)
            case _:
                self._warnings.append(f"{name} is accepted and does nothing here: {flag.meaning.partition(': ')[2]}")

    def _only(self, name: str, value: str) -> None:
        known = "X-Forwarded-For" if name.endswith("host") else "X-Forwarded-Port"
        if value.lower() != known.lower():
            raise ConfigError(
                f"{name} {value}: the client is read from X-Forwarded-For or Forwarded; have the proxy set one of them"
            )

    def _set(self, option: str, value: object, where: str) -> None:
        self._values[option] = Assignment(option, value, where, where)

    def result(self) -> Translated:
        if "app" not in self._values:
            raise ConfigError("the application is missing: hostler daphne [options] project.asgi:application")
        if self._host or self._port:
            host = self._host or "127.0.0.1"
            host = f"[{host.strip('[]')}]" if ":" in host else host
            self._endpoints.insert(0, f"{host}:{self._port or '8000'}")
        if self._endpoints:
            self._set("bind", list(dict.fromkeys(self._endpoints)), "-b, -p, -u, --fd, -e")
        local = ("127.", "localhost", "[::1]", "unix:", "fd:")
        if "proxy_headers" in self._values and not all(each.startswith(local) for each in self._endpoints):
            self._warnings.append(
                "--proxy-headers believes proxies on this machine only, not every sender as daphne does: set "
                "FORWARDED_ALLOW_IPS to the address of yours, if it is elsewhere"
            )
        return Translated(list(self._values.values()), self._warnings, defaults=self._defaults())

    def _defaults(self) -> tuple[Assignment, ...]:
        is_quiet = "log_level" in self._values and self._values["log_level"].value == _LEVELS[0]
        return tuple(
            Assignment(name, value, "hostler daphne", "hostler daphne")
            for name, value in _DEFAULTS
            if not (is_quiet and name == "access_log")
        )


def endpoint(text: str) -> str:
    """One of Twisted's endpoint strings as an address of ours."""
    kind, *parts = _split(text)
    named = dict(part.split("=", 1) for part in parts if "=" in part)
    plain = [part for part in parts if "=" not in part]
    if kind in _REFUSED:
        raise ConfigError(f'-e "{text}": {_REFUSED[kind]}')
    if kind in ("tcp", "tcp4", "tcp6"):
        port = named.get("port") or next(iter(plain), "")
        host = named.get("interface", "")
        if not port.isdigit():
            raise ConfigError(f'-e "{text}": a port is missing, as in tcp:8000:interface=127.0.0.1')
        if not host:
            return f"[::]:{port}" if kind == "tcp6" else f"0.0.0.0:{port}"
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if kind == "unix":
        path = named.get("address") or next(iter(plain), "")
        if not path:
            raise ConfigError(f'-e "{text}": a path is missing, as in unix:/run/app.sock')
        return f"unix:{path}"
    if kind == "fd":
        return f"fd://{named.get('fileno') or next(iter(plain), '')}"
    if kind == "systemd":
        index = named.get("index", "0")
        if not index.isdigit():
            raise ConfigError(f'-e "{text}": systemd sockets are named by index, as in systemd:domain=INET:index=0')
        return f"fd://{_LISTEN_FDS_START + int(index)}"
    raise ConfigError(f'-e "{text}": unknown kind of endpoint "{kind}"; there are tcp, unix, fd, systemd')


def _split(text: str) -> list[str]:
    """The parts between colons; a backslash takes the meaning off the next character."""
    parts, part, escaped = [], "", False
    for character in text:
        if escaped:
            part, escaped = part + character, False
        elif character == "\\":
            escaped = True
        elif character == ":":
            parts.append(part)
            part = ""
        else:
            part += character
    return [*parts, part]


def _help() -> str:
    import textwrap  # only for this text

    lines = ["usage: hostler daphne [options] APPLICATION", "", "daphne's options, and what each means here:", ""]
    for flag in _FLAGS:
        left = ", ".join(flag.names) + (" VALUE" if flag.takes_value else "")
        lines.append(f"  {left}")
        lines += textwrap.wrap(flag.meaning, 80, initial_indent=" " * 6, subsequent_indent=" " * 6)
    lines += [
        "",
        "Every option of `hostler serve` can be set too: in hostler.toml, or as",
        "HOSTLER_… in the environment.",
    ]
    return "\n".join(lines)
