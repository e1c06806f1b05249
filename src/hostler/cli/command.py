"""Which command was asked for, and how its end becomes an exit code."""

import os
import sys
from collections.abc import Mapping, Sequence

from hostler.errors import ConfigError, HostlerError
from hostler.proc.printable import printable_lines
from hostler.proc.signals import remember_early, restore

__all__ = ["COMMANDS", "main", "report"]

COMMANDS: Mapping[str, str] = {
    "serve": "serve a web application",
    "daphne": "serve an ASGI application with daphne's command line",
    "gunicorn": "serve a web application with gunicorn's command line and configuration file",
    "convert": "write a hostler.toml from a gunicorn command line or configuration file",
    "check": "show the configuration and where each value comes from, and whether the application loads",
    "status": "show a running server and its workers; --watch each second, --json for programs",
    "top": "watch a running server, its workers and requests; keys to reload, scale and replace",
    "ctl": "ask a running server: status, reload, upgrade, scale, recycle, stop, stacks",
    "reload": "have a running server take up new code and configuration",
    "upgrade": "have a running server replaced by a new one on the same sockets",
    "stacks": "show where the threads of a running server are, with their requests",
    "shim": "write a gunicorn command that runs hostler gunicorn, for scripts that start gunicorn themselves",
    "help": "explain a command and its options",
    "version": "show the version",
}

# Commands that become a server.
_SERVERS = ("serve", "daphne", "gunicorn")
# What starts a server elsewhere: flask run, fastapi run, litestar run, npm start.
_ELSEWHERE = ("run", "start", "runserver", "dev", "up")
_INTERRUPTED = 130  # what a shell says of a process that SIGINT ended


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code: 2 for a wrong one, else see `hostler.errors`."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    # Before anything that takes long: HUP must not end a server that starts.
    handlers = remember_early() if words and words[0] in _SERVERS else {}
    try:
        code = _run(words)
        if sys.stdout is not None:  # None: it was closed when we started
            sys.stdout.flush()
    except HostlerError as error:
        return report(error)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # `hostler help | head`: the reader has all it wanted. Python must not find the pipe again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    finally:
        restore(handlers)
    return code


def report(error: HostlerError) -> int:
    """Print an error, its evidence first so that the line that matters is the last; returns its exit code."""
    if error.detail:
        print(printable_lines(error.detail.rstrip()), file=sys.stderr)
    print(f"hostler: {printable_lines(error.message)}", file=sys.stderr)
    return error.exit_code


def _run(arguments: list[str]) -> int:
    """Import only the command that runs: the server's process lives for months."""
    if not arguments:
        from hostler.cli.help import overview

        print(overview(), file=sys.stderr)
        return ConfigError.exit_code
    command, *rest = arguments
    if command == "serve":
        from hostler.cli.serve import serve

        return serve(rest)
    if command == "daphne":
        from hostler.cli.daphne import daphne

        return daphne(rest)
    if command == "gunicorn":
        from hostler.cli.gunicorn import gunicorn

        return gunicorn(rest)
    if command == "convert":
        from hostler.cli.convert import convert

        return convert(rest)
    if command == "check":
        from hostler.cli.check import check

        return check(rest)
    if command == "ctl":
        from hostler.cli.ctl import ctl

        return ctl(rest)
    if command == "top":
        from hostler.cli.top.command import top

        return top(rest)
    if command == "reload":
        from hostler.cli.reload import reload

        return reload(rest)
    if command in ("status", "upgrade"):
        from hostler.cli.ctl import ctl

        return ctl([command, *rest])
    if command == "stacks":
        from hostler.cli.stacks import stacks

        return stacks(rest)
    if command == "shim":
        from hostler.cli.shim import shim

        return shim(rest)
    if command in ("help", "-h", "--help"):
        from hostler.cli.help import explain

        return explain(rest)
    if command in ("version", "-V", "--version"):
        from hostler.cli.version import show

        return show()
    raise ConfigError(_unknown(command, rest))


def _unknown(command: str, rest: list[str]) -> str:
    """Tell a slip of the pen from a forgotten `serve`."""
    import shlex  # only for this message

    from hostler.config.names import closest, did_you_mean

    if command in _ELSEWHERE:
        return f'unknown command "{command}" - hostler starts a server with: hostler serve {shlex.join(rest)}'.rstrip()
    meant = closest(command, list(COMMANDS))
    if meant is None and (command.startswith("-") or any(mark in command for mark in ".:/")):
        return f"the command is missing - did you mean: hostler serve {shlex.join([command, *rest])}"
    known = ", ".join(COMMANDS)
    return f'unknown command "{command}"{did_you_mean(meant) or f" - there are {known}"}'
