"""Write docs/migrate/gunicorn.md from the tables: python -m ostler.cli.gunicorn.page [--check] [FILE]."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from ostler.cli.gunicorn.classes import CLASSES, REFUSED
from ostler.cli.gunicorn.settings import SETTINGS, Setting
from ostler.config.reference import write_or_check

__all__ = ["main", "page"]

_FILE = "docs/migrate/gunicorn.md"

_INTRODUCTION = """\
<!-- Generated from src/ostler/cli/gunicorn by `python -m ostler.cli.gunicorn.page`: change the tables there. -->

# From gunicorn

Put `ostler` in front of the command that you run today:

```sh
ostler gunicorn --workers 4 --worker-class gthread --threads 8 --bind 0.0.0.0:8000 shop.wsgi:application
```

gunicorn's whole command line is understood, `GUNICORN_CMD_ARGS` too, and `gunicorn.conf.py` is run as gunicorn runs
it, hooks included. What a setting means here stands in the table below; one that changes nothing is told once, at the
start, and one that cannot be honoured and matters stops the start. `ostler gunicorn --print-config …` shows what
becomes of yours, `ostler gunicorn --check-config …` loads the application too, and `ostler convert` writes an
`ostler.toml`, which needs none of this any more.

**Precedence**, as in gunicorn: the command line, then `GUNICORN_CMD_ARGS`, then the configuration file, then what
platforms set (`PORT`, `WEB_CONCURRENCY`, `FORWARDED_ALLOW_IPS`), then defaults. ostler's own options can be set too,
in `ostler.toml` or as `OSTLER_…` variables; what gunicorn's sources say is stronger.

**Signals** are gunicorn's: TERM, INT and QUIT end, HUP reloads, USR1 opens the logs again, USR2 has a new server take
over, TTIN and TTOU change the number of workers. What is better:

* HUP starts the new workers first, and keeps the old ones when the new code does not load.
* USR2 needs no WINCH and no QUIT after it: the old server ends when the new one serves, and serves on when that
  fails.
* A request that is accepted is answered, through every reload, limit and stop.

## The other way round

`gunicorn -k ostler.integrations.gunicorn.Worker shop.wsgi:application` keeps gunicorn's arbiter, and runs ostler's
native core in its workers.

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
    yield "| a class of your own | ostler's own threads, or ASGI, with a notice: its own code does not run |"
    for name, reason in REFUSED.items():
        yield f"| `{name}` | refused: {reason} |"
    yield ""


def main(arguments: Sequence[str]) -> int:
    """Write the page, or with --check compare it; 1 when it is not up to date."""
    return write_or_check(page(), arguments, _FILE, "ostler.cli.gunicorn.page")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
