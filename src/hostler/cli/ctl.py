"""`hostler ctl`: ask a running server, or tell it what to do."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from hostler.cli.asking import OPTIONS, acted_on, read
from hostler.cli.reload import reload
from hostler.cli.spans import span
from hostler.cli.stacks import stacks
from hostler.config.names import closest, did_you_mean
from hostler.control.client import Target, ask, find
from hostler.errors import ConfigError
from hostler.proc.memory import megabytes

__all__ = ["USAGE", "ctl"]

USAGE = f"""\
Usage: hostler ctl VERB [--pid PID | --control PATH]

Ask a running server, or tell it what to do.

  status [--json] [--watch]
                   the server, and for each worker: state, age, requests, what
                   runs and waits, memory; --watch shows it again each second
                   (hostler status)
  reload           read the configuration again and replace the workers; waits
                   for the end (hostler reload)
  upgrade          start the same command anew on the same sockets, and end when
                   it serves; waits for it
  scale N          have N workers, until the next reload or restart; with
                   workers = auto, where it goes on from
  recycle WORKER   replace this worker, the replacement first; its requests end
                   in peace
  stop             end when the running requests have ended, at most after
                   graceful_timeout; waits for the end
  config           every option with its value, and where it came from
  log-level LEVEL  write lines from this level on (debug, info, warning, error),
                   until the next reload
  stacks [WORKER]  where the threads of its workers are (hostler stacks)

{OPTIONS}"""

_VERBS = ("status", "reload", "upgrade", "scale", "recycle", "stop", "config", "log-level", "stacks")
LEVELS = ("debug", "info", "warning", "error")
_CHANGING = ("upgrade", "scale", "recycle", "stop", "log-level")  # reload too, which is a command of its own
_WITH_WORD = ("scale", "recycle", "log-level")
_EVERY = 1.0
_COLUMNS = (
    ("worker", "worker"), ("pid", "pid"), ("state", "state"), ("age", "age"), ("requests", "requests"),
    ("5xx", "errors"), ("running", "in_flight"), ("queued", "queued"), ("connections", "connections"),
    ("threads", "threads"), ("memory", "rss"),
)  # fmt: skip


def ctl(arguments: list[str]) -> int:
    """Run one verb; returns its exit code."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE, end="")
        return 0 if arguments else ConfigError.exit_code
    verb, *rest = arguments
    if verb == "reload":
        return reload(rest)
    if verb == "stacks":
        return stacks(rest)
    if verb not in _VERBS:
        meant = did_you_mean(closest(verb, list(_VERBS)))
        raise ConfigError(f'unknown verb "{verb}"{meant or " - there are " + ", ".join(_VERBS)}')
    flags = {"--json", "--watch"} & set(rest) if verb == "status" else set()
    words, wanted = read("ctl", [word for word in rest if word not in flags])
    if wanted is None:
        print(USAGE, end="")
        return 0
    _check(verb, words)
    server = acted_on(f"ctl {verb}", wanted) if verb in _CHANGING else find(wanted.path, wanted.pid)
    if verb == "upgrade":
        print(ask(server, "upgrade", patient=True), end="")
    elif verb == "stop":
        ask(server, "stop", patient=True, until_end=True)
        print("stopped")
    elif verb == "config":
        print("\n".join(f"{name:<28} {value:<34} {source}" for name, value, source in ask(server, "config")))
    elif verb == "status":
        _status(server, "--json" in flags, "--watch" in flags)
    else:
        print(ask(server, verb, *words), end="")
    return 0


def _check(verb: str, words: list[str]) -> None:
    """Refuse what follows a verb and is not what it takes."""
    if len(words) > (verb in _WITH_WORD):
        raise ConfigError(f'unexpected "{words[-1]}": see hostler ctl --help')
    if verb == "log-level" and (not words or words[0] not in LEVELS):
        raise ConfigError(f"log-level needs one of {', '.join(LEVELS)}: hostler ctl log-level debug")
    if verb == "scale" and not (words and words[0].isdecimal() and int(words[0]) >= 1):
        raise ConfigError("scale needs the number of workers: hostler ctl scale 4")
    if verb == "recycle" and not (words and words[0].isdecimal()):
        raise ConfigError("recycle needs the number of a worker: hostler ctl recycle 0")


def _status(server: Target, is_json: bool, is_watched: bool) -> None:
    """Show the status; with `is_watched` again each second, until it is interrupted or the server ends."""
    while True:
        answer = ask(server, "status")
        if is_watched and not is_json and sys.stdout.isatty():
            print("\x1b[H\x1b[2J", end="")  # ECMA-48: home, erase the screen
        print(json.dumps(answer) if is_json else _table(answer).rstrip("\n"), flush=True)
        if not is_watched:
            return
        time.sleep(_EVERY)


def _table(status: dict[str, Any]) -> str:
    """For people."""
    listening = ", ".join(status["listening"])
    reloading = ", reloading" if status["reloading"] else ""
    head = (
        f"hostler {status['version']}, pid {status['pid']}, {status['state']}{reloading} for {span(status['uptime'])}"
    )
    rows = [[title for title, _ in _COLUMNS]]
    for worker in status["workers"]:
        shown = {**worker, "age": span(worker["age"]), "rss": megabytes(worker["rss"])}
        rows.append([str(shown[key]) for _, key in _COLUMNS])
    widths = [max(len(row[at]) for row in rows) for at in range(len(_COLUMNS))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join([head, f"listening on {listening or 'no address any more'}", "", *lines, ""])
