"""Write docs/migrate/gunicorn.md from the tables: python -m hostler.cli.gunicorn.page [--check] [FILE]."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from hostler.cli.gunicorn.classes import CLASSES, REFUSED
from hostler.cli.gunicorn.settings import SETTINGS, Setting
from hostler.config.reference import write_or_check

__all__ = ["main", "page"]

_FILE = "docs/migrate/gunicorn.md"

_INTRODUCTION = """\
<!-- Generated from src/hostler/cli/gunicorn by `python -m hostler.cli.gunicorn.page`: change the tables there. -->

# From gunicorn

Put `hostler` in front of the command that you run today:

```sh
hostler gunicorn --workers 4 --worker-class gthread --threads 8 --bind 0.0.0.0:8000 shop.wsgi:application
```

gunicorn's whole command line is understood, `GUNICORN_CMD_ARGS` too, and `gunicorn.conf.py` is run as gunicorn runs
it, hooks included. What a setting means here stands in the table below; one that changes nothing is told once, at the
start, and one that cannot be honoured and matters stops the start. `hostler gunicorn --print-config …` shows what
becomes of yours, `hostler gunicorn --check-config …` loads the application too, and `hostler convert` writes an
`hostler.toml`, which needs none of this any more.

**Precedence**, as in gunicorn: the command line, then `GUNICORN_CMD_ARGS`, then the configuration file, then what
platforms set (`PORT`, `WEB_CONCURRENCY`, `FORWARDED_ALLOW_IPS`), then defaults. hostler's own options can be set too,
in `hostler.toml` or as `HOSTLER_…` variables; what gunicorn's sources say is stronger.

**Signals** are gunicorn's: TERM, INT and QUIT end, HUP reloads, USR1 opens the logs again, USR2 has a new server take
over, TTIN and TTOU change the number of workers. What is better:

* HUP starts the new workers first, and keeps the old ones when the new code does not load.
* USR2 needs no WINCH and no QUIT after it: the old server ends when the new one serves, and serves on when that
  fails.
* A request that is accepted is answered, through every reload, limit and stop.

**Unix sockets** have the mode 0777 less `--umask`, as under gunicorn, so every user of the machine can connect. A
warning says so, unless `--umask` is given; `-m 007` or `HOSTLER_UNIX_MODE=660` lets in its user and group alone.

**Variables.** `raw_env` is set in the arbiter and in the workers. `SERVER_SOFTWARE` is `gunicorn (hostler/VERSION)` in
`os.environ`. `SCRIPT_NAME` there, or in `raw_env`, is the path below which a WSGI application is served; requests
elsewhere get 404, where gunicorn answers 500.

**Loggers.** Workers have the loggers `gunicorn.error` and `gunicorn.access`, with handlers and a level, before the
application is imported. The server's lines go through them as soon as the application or a `logger_class` has put a
filter, a handler or a formatter on them. A record of the access log has the line as its message, no
atoms.

**`logger_class`** is made once in each worker: its `__init__(cfg)` and `setup(cfg)` run, and what they put on the two
loggers counts: filters, handlers, formatters, levels. Not called are `access()`, `atoms()`, `atoms_wrapper_class`,
`reopen_files()` and the methods for messages: lines of the access log have the form of `access_log_format`, and are
made in native code. Lines of the arbiter (starts, ends, reloads) do not go through it. A class that writes its own
line in `access()` becomes `access_log_format`, or a formatter; one that counts there becomes `post_request`.

**Proxies.** Those that come by a unix socket are trusted, whatever `forwarded_allow_ips` says. The scheme is read from
`X-Forwarded-Proto` alone, not from `X-Forwarded-Ssl` or `X-Forwarded-Protocol`.

**The access log's** `%(U)s` is the decoded path, as under gunicorn. Bytes outside printable ASCII are written as
`\\xHH`, and a `SCRIPT_NAME` is left in front of it.

**What is not the same** for WSGI applications, held by a test against gunicorn itself: `REQUEST_URI` and
`hostler.queue_time` are there too, and `CONTENT_LENGTH` of a chunked body that was read. `HTTP_TRANSFER_ENCODING` is
not there, since `wsgi.input` is decoded and its length is known. `wsgi.early_hints` is not there, and
`gunicorn.socket` only in a WebSocket's handshake. `REMOTE_HOST` is set by neither. `--pythonpath` leaves out
directories that do not exist, with a warning. `worker.tmp`, `worker.futures` and `worker.nr_conns` are there for hooks
that read them, and empty.

## Where the command is not yours

Scripts and programs that start gunicorn themselves (`python -m gunicorn`, `BaseApplication`, Superset, MLflow,
Airflow): [gunicorn that other code starts](gunicorn-in-code.md). In short: `hostler shim DIR` writes a `gunicorn`
command that runs `hostler gunicorn`, and `GUNICORN_CMD_ARGS="-k hostler.integrations.gunicorn.Worker"` runs hostler's
native core in the workers of gunicorn's own arbiter.

## Settings

| setting | command line | what becomes of it |
|---|---|---|
"""


def page() -> str:
    """The whole page."""
    rows = "\n".join(_row(setting) for setting in SETTINGS)
    return f"{_INTRODUCTION}{rows}\n\n" + "\n".join(_classes())


def _row(setting: Setting) -> str:
    flags = ", ".join(f"`{flag}`" for flag in setting.flags) or "–"
    option = f" (`{setting.option}`)" if setting.option else ""
    return f"| `{setting.name}` | {flags} | **{setting.fate}**{option}: {setting.text.replace('|', chr(92) + '|')} |"


def _classes() -> Iterator[str]:
    yield "## Worker classes\n"
    yield "| class | what runs in its place |"
    yield "|---|---|"
    for name, kind in CLASSES.items():
        yield f"| `{name}` | {kind.about} |"
    yield (
        "| a class of your own | what the class that it extends becomes, with the `CONFIG_KWARGS` of a `UvicornWorker` "
        "(`root_path`, `lifespan`, `loop`, `proxy_headers`, limits of WebSockets); its methods do not run |"
    )
    for name, reason in REFUSED.items():
        yield f"| `{name}` | refused: {reason} |"
    yield ""


def main(arguments: Sequence[str]) -> int:
    """Write the page, or with --check compare it; 1 when it is not up to date."""
    return write_or_check(page(), arguments, _FILE, "hostler.cli.gunicorn.page")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
