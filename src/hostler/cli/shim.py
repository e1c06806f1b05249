"""`hostler shim`: a `gunicorn` command of ours, for scripts whose command line is not the operator's to change."""

from __future__ import annotations

import os
import shlex
import sys

from hostler.errors import ConfigError, HostlerError

__all__ = ["USAGE", "shim"]

USAGE = """\
Usage: hostler shim DIR

Write a command named gunicorn to DIR that runs hostler gunicorn with the same
arguments. Put DIR first on PATH for scripts that start gunicorn themselves
(Superset's run-server.sh, entrypoints of images). A file that hostler did not
write is not replaced; remove the file to go back. Programs that run the module
gunicorn: see docs/migrate/gunicorn-in-code.md.
"""
_MARK = "# Written by hostler shim: runs hostler gunicorn."


def shim(arguments: list[str]) -> int:
    """Write the command. Raises ConfigError for wrong arguments, HostlerError when it cannot be written."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE, end="")
        return 0 if arguments else ConfigError.exit_code
    if len(arguments) > 1:
        raise ConfigError(f'unexpected "{arguments[1]}": see hostler shim --help')
    path = os.path.join(arguments[0], "gunicorn")
    draft = f"{path}.{os.getpid()}"
    try:
        if os.path.lexists(path) and not _is_ours(path):
            raise ConfigError(f'"{path}" was not written by hostler: it is left as it is; name another directory')
        with open(draft, "x", encoding="utf-8") as file:
            file.write(f'#!/bin/sh\n{_MARK}\nexec {shlex.quote(sys.executable)} -m hostler gunicorn "$@"\n')
            os.fchmod(file.fileno(), 0o755)
        os.replace(draft, path)
    except OSError as error:
        raise HostlerError(f"{path}: {error.strerror}") from None
    folder = shlex.quote(os.path.abspath(arguments[0]))
    print(f"{path} runs hostler gunicorn; put its directory first: PATH={folder}:$PATH")
    return 0


def _is_ours(path: str) -> bool:
    if os.path.islink(path):
        return False
    with open(path, "rb") as file:
        return _MARK.encode() in file.read(200)
