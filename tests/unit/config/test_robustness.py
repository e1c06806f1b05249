"""Whatever is written, the answer is a Config or one line of ConfigError; and reading it stays small."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import pytest

from hostler.config import from_arguments
from hostler.config.option import Option
from hostler.config.settings import OPTIONS, Assignment, Config
from hostler.config.subjects import LogFormat
from hostler.errors import ConfigError

# All that TOML and scripts can hold, and text that once was a trap somewhere.
STRANGE: list[object] = [
    *(True, False, None, 0, -1, 10**30, 1.5, float("nan"), float("-inf"), b"x", object()),
    *([], [[]], [{}], {}, {"a": 1}, (), [None], [True], ["", "\0"]),
    *(date(2020, 1, 2), time(1, 2), datetime(2020, 1, 2, tzinfo=UTC)),
    *("", " ", ",", "\0", "\n", "\udc80", "%", "%(", "%()s", "x" * 10_000, "9" * 10_000, "-", "--", "１", "²"),
    *(":", "::", "[", "[]", "[]:", "unix:", "unix://", "fd://", "://", "none,none", "{}", "{0}"),
]

WORDS = [
    "--",
    "-",
    "-w",
    "-w4",
    "--workers",
    "--workers=",
    "--no-",
    "--no-workers",
    "--no-access-log",
    "app",
    "=",
    "-=",
    "",
]


@pytest.mark.parametrize("option", OPTIONS.values(), ids=OPTIONS.keys())
def test_strange_values(option: Option[Any]) -> None:
    for value in STRANGE:
        try:
            config = Config([Assignment(option.name, value, "here", "here")])
        except ConfigError as error:
            line = error.message
            assert line.startswith("here: ")
            assert line.replace("\udc80", "").isprintable()
            assert len(line) < 400
        else:
            # What was read is shown as text that reads back to the same value.
            shown = option.kind.show(config.values[option.name])
            assert option.kind.parse(shown) == config.values[option.name] or "," in shown


@pytest.mark.parametrize("first", WORDS)
def test_strange_command_lines(first: str) -> None:
    """Nothing but ConfigError comes out."""
    for second in WORDS:
        for third in WORDS:
            with contextlib.suppress(ConfigError):
                assert {each.name for each in from_arguments([first, second, third]).assignments} <= OPTIONS.keys()


def test_log_format_knows_the_atoms_of_the_native_core(root: Path) -> None:
    """The core compiles the format in the workers; a format it would refuse must stop the start before that."""
    source = (root / "rust" / "native" / "src" / "log" / "access.rs").read_text()
    arms = source.partition("fn atom(")[2].partition("\n    }\n")[0]
    assert set(re.findall(r'"(\w+)" => Atom::', arms)) == LogFormat.ATOMS
    assert set(re.findall(r'"(\w)" => (?:Some\(Op::|\{)', arms)) == LogFormat.KEYED


def test_a_start_without_a_file_loads_no_parser(root: Path, tmp_path: Path) -> None:
    """This process lives for months: what one message, one page or one file needs is imported there."""
    code = (
        "import sys; from hostler.config import from_arguments, load;"
        "load(from_arguments(['shop', '-w', '2', '-b', '[::1]:80']).assignments, {}); print(*sys.modules)"
    )
    environ = {**os.environ, "PYTHONPATH": str(root / "src")}
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=tmp_path, env=environ, capture_output=True, text=True, check=True
    )
    needless = {"argparse", "dataclasses", "difflib", "inspect", "json", "logging", "pathlib", "textwrap", "tomllib"}
    assert not needless & set(done.stdout.split())
