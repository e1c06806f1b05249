"""Write the reference page of all options from the table: python -m hostler.config.reference [--check] [FILE]."""

import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from hostler.config.option import Group, Option
from hostler.config.settings import GROUPS

__all__ = ["facts", "main", "page", "write_or_check"]

_FILE = "docs/settings.md"

_INTRODUCTION = """\
<!-- Generated from src/hostler/config by `python -m hostler.config.reference`: change the table there. -->

# Settings

Every option can be given in four places. The first that has it wins:

1. the command line: `hostler serve --workers 4`, or the arguments of `hostler.serve(app, workers=4)`;
2. the environment: `HOSTLER_WORKERS=4`; then `PORT` and `WEB_CONCURRENCY`, which hosting platforms set;
3. a file: the one named by `--config`, else `./hostler.toml`, else `[tool.hostler]` in `./pyproject.toml`;
4. the default.

```toml
# hostler.toml
app = "shop.wsgi:application"
bind = ["0.0.0.0:8000", "unix:/run/shop/http.sock"]
workers = 4
keepalive = "75s"
limit_request_body = "20M"
```

`hostler check` prints every value that is set with the place it came from (`--all`: the defaults too), and ends with a
code other than 0 when something is wrong. A name that is not known, or a value that is not possible, stops the start
with one line that says where it stands: `hostler.toml:7: unknown option "worker" - did you mean "workers"?` A variable
`HOSTLER_...` that is no option is ignored with a warning, which names the option that was probably meant. The
variables that Kubernetes makes for a Service called "hostler" (`HOSTLER_PORT=tcp://10.0.0.7:80`) are ignored without
one.

**Sizes** are bytes, or have a unit: `8192`, `"8K"`, `"1M"`, `"1G"` (powers of 1024; `KB` and `KiB` mean the same).
**Durations** are seconds, or have a unit: `15`, `"15s"`, `"500ms"`, `"2m"`, `"1h"`.
**Lists** are arrays in a file, repeated options on the command line, and have commas in the environment.
What can be **off** or **none** takes that word, `false` in a file, or `--no-...` on the command line.
Empty variables count as unset.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([_INTRODUCTION, *(line for group in GROUPS for line in _section(group))])


def _section(group: type[Group]) -> Iterator[str]:
    yield f"## {group.heading}\n"
    yield f"{group.about}\n"
    for option in group.options():
        yield f"### `{option.name}`\n"
        yield f"{option.about}\n"
        yield from (f"- {fact}" for fact in facts(option))
        yield ""


def facts(option: Option[Any]) -> Iterator[str]:
    """Default, values, and where the option is set, as Markdown."""
    unit = f" ({option.unit})" if option.unit else ""
    yield f"Default: `{option.default_text}`{unit}"
    yield f"Value: {option.kind.expects}" + ("; several" if option.kind.is_repeatable else "")
    position = "APP" if option.name == "app" else ""
    flags = [f"`{flag}`" for flag in (position, option.short, option.flag) if flag]
    if option.kind.off is not None:
        flags.append(f"`--no-{option.flag[2:]}`")
    variables = [f"`{option.variable}`"]
    if option.platform:
        variables.append(f"`{option.platform[0]}`")
    yield f"Command line: {', '.join(flags)}; environment: {', '.join(variables)}"
    others = {"gunicorn": option.gunicorn, "uWSGI": option.uwsgi, "uvicorn": option.uvicorn}
    known = [f"{server} {_code(names)}" for server, names in others.items() if names]
    if known:
        yield f"Elsewhere: {'; '.join(known)}"


def _code(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def main(arguments: Sequence[str]) -> int:
    """Write the page, or with --check compare it; 1 when it is not up to date."""
    return write_or_check(page(), arguments, _FILE, "hostler.config.reference")


def write_or_check(text: str, arguments: Sequence[str], usual: str, module: str) -> int:
    """Write a generated page to the file that is named, or compare it with that one (--check); returns an exit code."""
    is_check = "--check" in arguments
    path = next((argument for argument in arguments if not argument.startswith("-")), usual)
    if not is_check:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return 0
    try:
        with open(path, encoding="utf-8") as file:
            is_current = file.read() == text
    except FileNotFoundError:
        is_current = False
    if not is_current:
        print(f"{path} is not up to date: run python -m {module} {path}", file=sys.stderr)
    return 0 if is_current else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
