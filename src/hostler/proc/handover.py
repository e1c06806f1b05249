"""From one server process to its successor by exec: the listening sockets, and a line between the two (upgrade).

The successor finds one environment variable: a JSON object with the descriptor of the line and those of the sockets. It
says "ready" when it serves; what the other end then does is its own business. The line's end is the end of a process.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any, NamedTuple

from hostler.errors import HostlerError
from hostler.proc.channel import Channel
from hostler.proc.fork import fork
from hostler.proc.signals import EARLY, HANDLED

__all__ = ["Inheritance", "inherit", "start"]

_VARIABLE = "_HOSTLER_INHERITANCE"  # no option: those begin with HOSTLER_


class Inheritance(NamedTuple):
    """What the process before us has passed on."""

    channel: Channel
    sockets: Sequence[Mapping[str, Any]]  # as `start` got them
    pid: int  # of the process before us
    size: int  # how many workers it has


def start(
    command: Sequence[str],
    directory: str,
    environ: Mapping[str, str],
    sockets: Sequence[Mapping[str, Any]],
    size: int,
    prepare: Callable[[], None],
) -> tuple[int, Channel]:
    """Run `command` as our successor; returns its pid and our end of the line. OSError when it cannot be forked.

    `sockets`: what is known of each, its descriptor as "fd"; `size`: how many workers there are. `prepare` runs in the
    child, before the exec. What the successor would end by before it has handlers stays held back: it finds it then.
    """
    ours, theirs = Channel.pair()

    def become() -> int:
        """What goes wrong is told on the line."""
        import json  # half a megabyte, for those alone who upgrade

        try:
            for fd in (theirs.fileno(), *(each["fd"] for each in sockets)):
                os.set_inheritable(fd, True)
            passed = {"line": theirs.fileno(), "pid": os.getppid(), "size": size, "sockets": list(sockets)}
            os.chdir(directory)
            os.execvpe(command[0], list(command), {**environ, _VARIABLE: json.dumps(passed)})
        except OSError as error:
            theirs.send(f"failed {command[0]}: {error.strerror}")
        return 1

    try:
        return fork(prepare, become, dict.fromkeys(HANDLED, signal.SIG_DFL), EARLY), ours
    except OSError:
        ours.close()
        raise
    finally:
        theirs.close()


def inherit(environ: MutableMapping[str, str]) -> Inheritance | None:
    """What was passed on to us, and no trace of it left for children; None: nobody was before us."""
    text = environ.pop(_VARIABLE, "")
    if not text:
        return None
    import json

    try:
        passed = json.loads(text)
        line, pid, sockets = int(passed["line"]), int(passed["pid"]), list(passed["sockets"])
        if pid != os.getppid():
            return None  # a child of the one that it was meant for
        for fd in (line, *(each["fd"] for each in sockets)):
            os.set_inheritable(fd, False)
        return Inheritance(Channel.of(line), sockets, pid, int(passed["size"]))
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise HostlerError(f"{_VARIABLE} is set, and cannot be read: {error}") from None
