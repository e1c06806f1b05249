"""The pages for people: their links lead somewhere, their examples are accepted, their defaults are true."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from importlib import import_module
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


ANCHOR = re.compile(r"\]\((?!https?:)([^)#\s]*)#([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """What its headings can be linked by: in small letters, with "-" for spaces, without punctuation."""
    headings = HEADING.findall(page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_into_pages_lead_to_headings(page: Path) -> None:
    found = ANCHOR.findall(page.read_text(encoding="utf-8"))
    missing = [
        f"{target}#{anchor}"
        for target, anchor in found
        if anchor not in anchors(page.parent / target if target else page)
    ]
    assert missing == []


# | 503 | `clause` | … of docs/faq.md
CLAUSE = re.compile(r"^\| (?:[45]\d\d|it says) \| `([^`]+)`", re.MULTILINE)


def test_log_lines_that_the_questions_quote_are_ones_that_we_write() -> None:
    sources = [*ROOT.glob("rust/*/src/**/*.rs"), *ROOT.glob("src/**/*.py")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    quoted = CLAUSE.findall((ROOT / "docs" / "faq.md").read_text(encoding="utf-8"))
    assert len(quoted) >= 13
    assert [clause for clause in quoted if clause not in text] == []


def test_links_of_the_package_index_page_lead_to_files_too() -> None:
    """The README is shown there as well, where a link below this directory leads nowhere."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    text = (ROOT / "README.md").read_text(encoding="utf-8") + "".join(f"]({url})" for url in project["urls"].values())
    assert LINK.findall(text) == []
    home = project["urls"]["Homepage"]
    raw = home.replace("github.com", "raw.githubusercontent.com")
    prefixes = "|".join(map(re.escape, (f"{home}/blob/main/", f"{home}/tree/main/", f"{raw}/main/")))
    targets = re.findall(rf"\]\((?:{prefixes})([^)#]+)", text)
    assert len(targets) > 15
    assert [target for target in targets if not (ROOT / target).exists()] == []


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


@pytest.mark.parametrize(("name", "least"), [("docs/limits.md", 16), ("SECURITY.md", 24)])
def test_defaults_are_what_the_pages_say(name: str, least: int) -> None:
    rows = ROW.findall((ROOT / name).read_text(encoding="utf-8"))
    assert len(rows) >= least
    for option, written in rows:
        kind = OPTIONS[option].kind
        assert kind.parse(written.strip().removesuffix("/s")) == kind.parse(OPTIONS[option].default), option


# | `option` | … | what happens beyond it |
BEYOND = re.compile(r"^\| `(\w+)`.*\| ([^|]+) \|$", re.MULTILINE)
STATUS = re.compile(r"\b[145]\d\d\d?\b")


def test_statuses_are_the_same_on_both_pages_about_limits() -> None:
    """The server's own are tested in tests/integration/core/test_limits.py and test_timeouts.py."""
    names = ("docs/limits.md", "SECURITY.md")
    pages = [dict(BEYOND.findall((ROOT / name).read_text(encoding="utf-8"))) for name in names]
    pages[0]["ws_max_size"] = pages[0]["ws_max_frame_size"]  # they share a row there
    limits, security = ({option: STATUS.findall(text)[:1] for option, text in page.items()} for page in pages)
    shared = limits.keys() & security.keys()
    assert len(shared) >= 15
    assert {option: limits[option] for option in shared} == {option: security[option] for option in shared}


# | number | of what | `CONSTANT` in [file](path) |
CONSTANT = re.compile(r"^\| (\d+) \|[^|]+\| `(\w+)` in \[[^]]+\]\(([^)]+)\) \|$", re.MULTILINE)


def test_numbers_that_are_no_options_are_what_the_code_says() -> None:
    rows = CONSTANT.findall((ROOT / "SECURITY.md").read_text(encoding="utf-8"))
    assert len(rows) == 5
    for number, name, path in rows:
        code = (ROOT / path).read_text(encoding="utf-8")
        if path.endswith(".py"):
            module = import_module(path.removeprefix("src/").removesuffix(".py").replace("/", "."))
            value = getattr(module, name)
        else:
            value = re.findall(rf"^const {name}: \w+ = (\w+);", code, re.MULTILINE)[0]
        assert float(value) == float(number), name


@pytest.mark.parametrize(
    ("statement", "option", "value"),
    [
        ("Proxy headers are believed by default", "proxy_headers", "on"),
        ("How long it may take is not limited until `request_timeout` is set", "request_timeout", "0"),
        ("the PROXY protocol is neither expected nor read", "proxy_protocol", "off"),
        ("only this machine can connect until another address is chosen", "bind", "127.0.0.1:8000"),
    ],
)
def test_security_says_what_the_defaults_do(statement: str, option: str, value: str) -> None:
    page = " ".join((ROOT / "SECURITY.md").read_text(encoding="utf-8").split())
    kind = OPTIONS[option].kind
    assert statement in page
    assert kind.parse(OPTIONS[option].default) == kind.parse(value)


def test_the_newest_options_are_in_the_reference(root: Path) -> None:
    page = (root / "docs" / "settings.md").read_text(encoding="utf-8")
    assert [name for name in OPTIONS if f"### `{name}`" not in page] == []
