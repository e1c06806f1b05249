"""The command line of `serve` and `check` as assignments.

Forms: `--workers 4`, `--workers=4`, `-w 4`, `-w4`, `--preload`, `--no-access-log`, repeated options
(`-b :80 -b :81`: all of them where an option holds several values, else the last one), the application as the only
positional argument, `--host`, `--port` and `-p` for an address of `bind`, `--` before an application whose name starts
with a dash. argparse would cost a process that lives for months a quarter of a megabyte, and knows nothing of the
nearest name.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from hostler.config.names import closest, did_you_mean, find, hint
from hostler.config.option import Option
from hostler.config.settings import OPTIONS, Assignment
from hostler.config.sources.host_port import written
from hostler.errors import ConfigError

__all__ = ["Arguments", "from_arguments"]

# What other servers have under names that are no option here, and where to find it.
_NO_TLS = "hostler speaks no TLS: let a proxy in front do it (docs/deploying.md has recipes)"
_POINTERS = {
    **dict.fromkeys(("certfile", "keyfile", "ca-certs", "ssl-certfile", "ssl-keyfile", "ssl-ca-certs"), _NO_TLS),
    **dict.fromkeys(
        ("-k", "worker-class"),
        "the kind of application is found out: leave it out, or write --driver gevent for monkey-patched WSGI",
    ),
    "factory": "write the call: hostler serve 'module:create_app()'",
    "debug": "--reload takes up changed code; debug mode is the application's own setting",
}

_REQUESTS = {"-h": "help", "--help": "help", "--help-all": "help-all", "-V": "version", "--version": "version"}


class Arguments(NamedTuple):
    """What a command line says."""

    assignments: list[Assignment]
    request: str = ""  # "help", "help-all" or "version" when that was asked for instead


def from_arguments(arguments: Sequence[str]) -> Arguments:
    """Read the arguments that follow the command."""
    found: dict[str, Assignment] = {}
    place: dict[str, str] = {}  # --host and --port
    waiting = list(reversed(arguments))
    while waiting:
        argument = waiting.pop()
        if argument in _REQUESTS:
            return Arguments([], _REQUESTS[argument])
        if argument == "--":
            for application in reversed(waiting):
                _positional(found, application)
            break
        name, text = _host_or_port(argument)
        if name:
            place[name] = _value(name, waiting, "a host or a port") if text is None else text
            continue
        if argument.startswith("--"):
            option, value = _long(argument)
        elif argument.startswith("-") and argument != "-":
            option, value = _short(argument)
        else:
            _positional(found, argument)
            continue
        _keep(found, option, _argument(option, waiting) if value is None else value)
    if place:
        _listen(found, place)
    return Arguments(list(found.values()))


def _host_or_port(argument: str) -> tuple[str, str | None]:
    """Which of --host and --port an argument is, and its value if that tells it; "": neither."""
    name, equals, value = argument.partition("=")
    if name in ("--host", "--port"):
        return name, value if equals else None
    if argument.startswith("-p") and not argument[2:].strip("=0123456789"):
        return "--port", argument[2:].removeprefix("=") or None
    return "", None


def _listen(found: dict[str, Assignment], place: dict[str, str]) -> None:
    if "bind" in found:
        raise ConfigError("give either --bind or --host and --port")
    host = place.get("--host")
    names = " and ".join(sorted(place))
    found["bind"] = Assignment("bind", written(host, place.get("--port"), ("--host", "--port")), names, names)


def _long(argument: str) -> tuple[Option[Any], str | None]:
    """The option of `--name`, `--name=value` or `--no-name`, and its value if that tells it."""
    name, equals, value = argument[2:].partition("=")
    option = find(name)
    if option is not None:
        return option, value if equals else None
    switched = find(name[3:]) if name.startswith(("no-", "no_")) else None
    if switched is not None and switched.kind.off is not None:
        if equals:
            raise ConfigError(f"--{name} takes no value")
        return switched, switched.kind.off
    if switched is not None:
        raise ConfigError(f"--{name}: {switched.flag} cannot be switched off")
    if name.replace("_", "-") in _POINTERS:
        raise ConfigError(f'unknown option "--{name}": {_POINTERS[name.replace("_", "-")]}')
    meant = hint(name, lambda option: option.flag) or did_you_mean(closest(f"--{name}", list(_REQUESTS)))
    raise ConfigError(f'unknown option "--{name}"{meant}')


def _short(argument: str) -> tuple[Option[Any], str | None]:
    """The option of `-w`, `-w4` or `-w=4`."""
    meant = find(argument[1:])  # -workers, which is not -w orkers
    for option in OPTIONS.values():
        if option.short and argument.startswith(option.short) and not meant:
            return option, argument[2:].removeprefix("=") or None
    if argument.startswith("-k"):
        raise ConfigError(f'unknown option "{argument}": {_POINTERS["-k"]}')
    likely = did_you_mean(meant.flag if meant else None)
    raise ConfigError(f'unknown option "{argument}"{likely}')


def _argument(option: Option[Any], waiting: list[str]) -> str:
    """The value that follows an option; another option does not count as one, "-" does."""
    if option.kind.bare is not None and not (waiting and option.kind.is_word(waiting[-1])):
        return option.kind.bare
    return _value(option.flag, waiting, option.kind.expects)


def _value(flag: str, waiting: list[str], expects: str) -> str:
    if not waiting or (waiting[-1].startswith("-") and waiting[-1] != "-"):
        raise ConfigError(f"{flag} needs a value: {expects}")
    return waiting.pop()


def _keep(found: dict[str, Assignment], option: Option[Any], value: str) -> None:
    earlier = found.get(option.name)
    if earlier is not None and option.kind.is_repeatable:
        found[option.name] = earlier._replace(value=option.kind.join(earlier.value, value))
        return
    found[option.name] = Assignment(option.name, value, option.flag, option.flag)


def _positional(found: dict[str, Assignment], argument: str) -> None:
    earlier = found.get("app")
    if earlier is not None and earlier.label == "--app":
        found["app"] = earlier._replace(value=OPTIONS["app"].kind.join(argument, earlier.value))
        return
    if earlier is not None:
        application = earlier.value
        raise ConfigError(f'unexpected "{argument}": the application is "{application}" already')
    found["app"] = Assignment("app", argument, "command line", "APP")
