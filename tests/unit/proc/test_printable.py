"""What is escaped in text from outside: the same examples as for the native core."""

from __future__ import annotations

import sys
import unicodedata
from pathlib import Path

import pytest

from hostler.proc.printable import printable, printable_lines
from tests.unit.helpers.printable import EXAMPLES, VECTORS

# Categories of which nothing may stand in a log as it is; of Zs, the space may.
HIDDEN = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp", "Zs"}


def listed() -> set[int]:
    """The code points of the table."""
    found: set[int] = set()
    for line in (VECTORS / "escaped.tsv").read_text(encoding="ascii").splitlines():
        first, last = (int(each, 16) for each in line.split("\t"))
        found.update(range(first, last + 1))
    return found


@pytest.mark.parametrize(
    ("name", "data", "expected"), [each[:3] for each in EXAMPLES], ids=[each[0] for each in EXAMPLES]
)
def test_example_is_escaped(name: str, data: str, expected: str) -> None:
    text = bytes.fromhex(data).decode("utf-8", "replace")
    assert printable(text) == expected
    assert printable(expected) == expected  # twice changes nothing


def test_each_character_is_escaped_as_the_table_says() -> None:
    escaped = {code for code in range(sys.maxunicode + 1) if printable(chr(code)) != chr(code)}
    assert escaped == listed()


def test_table_has_all_that_this_unicode_version_hides() -> None:
    hidden = {code for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)) in HIDDEN} - {ord(" ")}
    assert hidden <= listed()


def test_bytes_that_are_no_text_are_shown_as_python_keeps_them() -> None:
    assert printable(b"/srv/\xff".decode("utf-8", "surrogateescape")) == "/srv/\\udcff"


def test_line_ends_of_a_text_stay_and_nothing_else_does() -> None:
    assert printable_lines("a\r\nb\x1b\n\u2028c\n") == "a\\r\nb\\x1b\n\\u2028c\n"


def test_lines_keep_their_indentation() -> None:
    assert printable_lines("one\n\ttwo\n \tthree\tfour\n\t") == "one\n        two\n        three\\tfour\n        "


def test_one_place_has_the_rule(root: Path) -> None:
    """Others would differ in what they escape."""
    sources = [*(root / "src").rglob("*.py"), *(root / "rust" / "native" / "src").rglob("*.rs")]
    marks = ("unicode_escape", "escape_default", "escape_debug", "escape_unicode")
    found = {str(path.relative_to(root)) for path in sources if any(mark in path.read_text() for mark in marks)}
    assert found == set()
