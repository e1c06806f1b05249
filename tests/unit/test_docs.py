"""The pages for people: their links lead somewhere, their examples are accepted, their defaults are true."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostler.config import Config, from_arguments
from hostler.config.settings import OPTIONS
from hostler.config.sources.file import from_file
from tests.conftest import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md")])
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)(?:#[^)]*)?\)")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
# | `option` | default | …
ROW = re.compile(r"^\| `(\w+)` \| ([^|]+) \|", re.MULTILINE)


def blocks(language: str) -> Iterator[tuple[str, str]]:
    """The code blocks of a language, each with the page that it is on."""
    for page in PAGES:
        for found, code in BLOCK.findall(page.read_text(encoding="utf-8")):
            if found == language:
                yield str(page.relative_to(ROOT)), code


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    targets = LINK.findall(page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize(("page", "code"), list(blocks("toml")))
def test_toml_examples_are_accepted(page: str, code: str, tmp_path: Path) -> None:
    path = tmp_path / "hostler.toml"
    path.write_text(code, encoding="utf-8")
    Config(from_file(str(path)))


@pytest.mark.parametrize("path", sorted(ROOT.glob("examples/*/hostler.toml")), ids=lambda path: path.parent.name)
def test_the_examples_configurations_are_accepted(path: Path) -> None:
    Config(from_file(str(path)))


def commands() -> Iterator[str]:
    """What the pages tell to type."""
    for _, code in blocks("console"):
        yield from re.findall(r"\bhostler serve\b(.*)", code)
    table = (ROOT / "README.md").read_text(encoding="utf-8")
    yield from re.findall(r"`hostler serve( [^`…]*)`", table)


@pytest.mark.parametrize("command", list(commands()))
def test_commands_are_accepted(command: str) -> None:
    given = from_arguments(shlex.split(command))
    if not given.request:  # --help
        Config(given.assignments)


@pytest.mark.parametrize("name", ["docs/limits.md"])
def test_defaults_are_what_the_pages_say(name: str) -> None:
    rows = ROW.findall((ROOT / name).read_text(encoding="utf-8"))
    assert len(rows) >= 16
    for option, written in rows:
        kind = OPTIONS[option].kind
        assert kind.parse(written.strip().removesuffix("/s")) == kind.parse(OPTIONS[option].default), option


def test_the_newest_options_are_in_the_reference(root: Path) -> None:
    page = (root / "docs" / "settings.md").read_text(encoding="utf-8")
    assert [name for name in OPTIONS if f"### `{name}`" not in page] == []
