"""Kinds of values that one subject alone has: addresses, applications, proxies, log lines, logging, hooks."""

from collections.abc import Mapping

from hostler.config.address import Address, DescriptorAddress, TcpAddress, UnixAddress, parse_address
from hostler.config.hook_source import NAMES, HookSource
from hostler.config.kinds import Gathered, Kind, Text, quote
from hostler.config.mounts import Mount

__all__ = [
    "Apps", "HeaderText", "Hooks", "ListenAddress", "LogConfig", "LogFormat", "StatsdAddress", "SyslogAddress",
    "Trusted", "UrlPath",
]  # fmt: skip


class ListenAddress(Kind[Address]):
    """An address to listen on."""

    __slots__ = ()

    def __init__(self) -> None:
        forms = "host:port, :port, port, [v6]:port, unix:/path, unix:@name or fd://N"
        super().__init__("ADDRESS", f"an address ({forms})")

    def read(self, value: object) -> Address:
        if isinstance(value, TcpAddress | UnixAddress | DescriptorAddress):
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)  # bind = 8000
        if not isinstance(value, str):
            raise ValueError
        try:
            return parse_address(value)
        except ValueError as error:
            reason = f": {error}" if str(error) else f": {self.expects}"
            raise ValueError(f"{quote(value)} is not an address{reason}") from None


class UrlPath(Text):
    """A path of URLs, without its last slash: "" is the root."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("PATH", "a path such as /health")

    def read(self, value: object) -> str:
        text = super().read(value)
        if not text.startswith("/") or not text.isascii() or set(text) & set(" ?#%"):
            raise ValueError
        return text.rstrip("/")

    def show(self, value: str) -> str:
        return value or "/"


class HeaderText(Text):
    """The value of a header field: visible ASCII and spaces, so that it cannot split a response."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("TEXT", "the value of a header (printable ASCII)")

    def read(self, value: object) -> str:
        text = super().read(value)
        if not text.isascii() or text != text.strip():
            raise ValueError
        return text


class LogFormat(Text):
    """An access log line: "json", alone or with fields of one's own, or text with gunicorn's atoms."""

    __slots__ = ()

    ATOMS = frozenset("hlutrmUqHsBbfaTMDLQp")
    # What the JSON object has anyway: src/log/access.rs.
    JSON = frozenset({
        "bytes", "duration_ms", "duration_us", "host", "method", "path", "pid", "protocol", "query", "queue_us",
        "referer", "remote_addr", "request_id", "status", "time", "user_agent",
    })  # fmt: skip
    KEYED = frozenset("ioe")  # %({x}i)s, o, e: request header, response header, environ

    def __init__(self) -> None:
        super().__init__("FORMAT", 'a log format: "json", or text with atoms such as %(h)s')

    def read(self, value: object) -> str:
        text = super().read(value.replace("\t", " ") if isinstance(value, str) else value)
        text = str(value).strip(" ") if "\t" in str(value) else text  # columns are parted by tabs in some logs
        words = text.split()
        if words[0] == "json":
            self._check_fields(words[1:])
        rest = text
        while "%" in rest:
            rest = rest[rest.index("%") :]
            if rest.startswith("%%"):
                rest = rest[2:]
                continue
            atom, end, after = rest[2:].partition(")s")
            if rest[1:2] != "(" or not end:
                hint = "%% is a percent sign"
                raise ValueError(f"{quote(rest)} is not an atom such as %(h)s; {hint}")
            if not self.is_atom(atom):
                raise ValueError(f"the access log has no atom %({atom})s")
            rest = after
        return text

    def _check_fields(self, words: list[str]) -> None:
        """Each is NAME=%(atom)s, with a name of its own."""
        names = set(self.JSON)
        for word in words:
            name, equals, atom = word.partition("=")
            if not (
                name.isidentifier() and name.isascii() and equals and atom.startswith("%(") and atom.endswith(")s")
            ):
                raise ValueError(f"{quote(word)} is not a field such as user=%({{x-user}}i)s")
            if name in names:
                raise ValueError(f'the JSON line has a field "{name}" already')
            names.add(name)

    @classmethod
    def is_atom(cls, atom: str) -> bool:
        """Whether `%(atom)s` can be written."""
        if atom.startswith("{"):
            return len(atom) > 3 and atom[-2] == "}" and atom[-1] in cls.KEYED
        return atom in cls.ATOMS


class Apps(Gathered[Mount]):
    """The applications of one server: a text for each, or tables with target, path and protocols."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("APP", "an application such as shop.wsgi:application")

    def read(self, value: object) -> tuple[Mount, ...]:
        if value in (None, False, "none"):
            return ()
        if isinstance(value, str) and value.lstrip().startswith("["):
            value = self._listed(value)
        items = value if isinstance(value, list | tuple) and not isinstance(value, Mount) else [value]
        return tuple(self._mount(item) for item in items)

    def _listed(self, text: str) -> list[object]:
        import json  # only for several applications in one text

        try:
            items: list[object] = json.loads(text)
        except ValueError:
            raise ValueError(f'{quote(text)} is not a list such as ["shop.wsgi", "shop.asgi=websocket"]') from None
        return items

    def _mount(self, item: object) -> Mount:
        if isinstance(item, Mount):
            return item
        if isinstance(item, str):
            return Mount.parse(item)
        if not isinstance(item, Mapping):
            raise ValueError
        unknown = set(item) - {"target", "path", "protocols"}
        if unknown:
            raise ValueError(f'unknown key "{min(unknown)}": an app has target, path and protocols')
        protocols = item.get("protocols", [])
        words = protocols if isinstance(protocols, list) else [protocols]
        target, path = item.get("target", ""), item.get("path", "")
        if not all(isinstance(word, str) for word in (target, path, *words)):
            raise ValueError("target, path and protocols of an app are texts")
        return Mount.make(target, path, words)

    def show(self, value: tuple[Mount, ...]) -> str:
        if len(value) > 1:
            return "[" + ", ".join(f'"{mount}"' for mount in value) + "]"
        return str(value[0]) if value else "none"


class Trusted(Text):
    """Addresses and networks whose word is taken: "127.0.0.1,10.0.0.0/8", or "*"; "unix" for unix sockets alone."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("LIST", "addresses and networks such as 127.0.0.1,10.0.0.0/8, or *, or unix")

    def read(self, value: object) -> str:
        items = value if isinstance(value, list) else str(value).split(",")
        words = [str(item).strip() for item in items if str(item).strip()]
        for word in words:
            if word not in ("*", "unix", "127.0.0.1", "::1"):
                import ipaddress  # half a megabyte, so only where one was chosen

                try:
                    ipaddress.ip_network(word, strict=False)
                except ValueError:
                    raise ValueError(f"{quote(word)} is not an address or a network such as 10.0.0.0/8") from None
        return ",".join(words)


class LogConfig(Kind[str | dict[str, object]]):
    """A configuration for Python's logging: a file, or a table in the form of dictConfig."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("FILE", "an INI or JSON file, or a table in the form of dictConfig")

    def read(self, value: object) -> str | dict[str, object]:
        if isinstance(value, str) and value.lstrip().startswith("{"):
            import json  # only for a table in one text

            value = json.loads(value)
        if isinstance(value, Mapping):
            return dict(value)
        if not isinstance(value, str) or not value or "\0" in value:
            raise ValueError
        return value

    def show(self, value: str | dict[str, object]) -> str:
        if isinstance(value, str):
            return value
        import json

        return json.dumps(value, default=str)


class SyslogAddress(Text):
    """Where syslog is: udp://host:port, tcp://host:port, unix://path."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("ADDRESS", "an address such as udp://localhost:514, tcp://log.example:514 or unix:///dev/log")

    def read(self, value: object) -> str:
        text = super().read(value).strip()
        kind, _, rest = text.partition("://")
        path, _, transport = rest.partition("#")
        is_path = kind == "unix" and path.startswith("/") and transport in ("", "stream", "dgram")
        host, _, port = rest.rpartition(":")
        is_host = kind in ("udp", "tcp") and rest and (not host or port.isdigit())
        if not is_path and not is_host:
            raise ValueError
        return text


class StatsdAddress(Text):
    """Where StatsD is: host:port, or unix://path."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("ADDRESS", "an address such as localhost:8125 or unix:///run/statsd.sock")

    def read(self, value: object) -> str:
        text = super().read(value).strip()
        host, _, port = text.rpartition(":")
        is_path = text.startswith("unix://") and len(text) > len("unix://")
        if not is_path and not (host and port.isdigit() and int(port) < 65536):
            raise ValueError
        return text


class Hooks(Kind[HookSource | None]):
    """Server hooks: a Python file; or, of a script, functions by their names."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("FILE", "a Python file")

    def read(self, value: object) -> HookSource | None:
        if value in (None, False, "none", "off") or value == {}:
            return None
        if isinstance(value, HookSource):
            return value
        if isinstance(value, Mapping):
            unknown = sorted(set(value) - set(NAMES))
            if unknown:
                raise ValueError(f'there is no hook "{unknown[0]}": there are {", ".join(NAMES)}')
            return HookSource(functions=value)
        if not isinstance(value, str) or not value or "\0" in value:
            raise ValueError
        return HookSource(value)

    def show(self, value: HookSource | None) -> str:
        if value is None:
            return "none"
        return value.path or ", ".join(value.functions or ())

    @property
    def off(self) -> str:
        return "none"
