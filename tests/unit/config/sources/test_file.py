"""Configuration files: which is found, what it says, and on which line it is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostler.config.settings import Assignment
from hostler.config.sources.file import discover, from_file, line_of
from hostler.errors import ConfigError


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name: str, text: str | bytes) -> str:
    Path(name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return name


def test_options() -> None:
    write("hostler.toml", '# shop\napp = "shop.wsgi"\n\nbind = [\n  ":80",\n  "unix:a",\n]\nworker-connections = 5\n')
    assert from_file("hostler.toml") == [
        Assignment("app", "shop.wsgi", "hostler.toml:2", "hostler.toml:2: app"),
        Assignment("bind", [":80", "unix:a"], "hostler.toml:4", "hostler.toml:4: bind"),
        Assignment("worker_connections", 5, "hostler.toml:8", "hostler.toml:8: worker-connections"),
    ]


def test_pyproject() -> None:
    write("pyproject.toml", '[project]\nname = "shop"\nworkers = 7\n\n[tool.hostler]\nworkers = 2\n\n[tool.x]\ny = 1\n')
    assert from_file("pyproject.toml") == [Assignment("workers", 2, "pyproject.toml:6", "pyproject.toml:6: workers")]


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({}, None),
        ({"hostler.toml": ""}, "hostler.toml"),
        ({"pyproject.toml": "[tool.hostler]\n"}, "pyproject.toml"),
        ({"pyproject.toml": "[project]\ndependencies = ['hostler']\n"}, None),
        ({"pyproject.toml": "[project]\nname = 'shop'\n"}, None),
        ({"pyproject.toml": "tool = 'hostler'\n"}, None),
        ({"pyproject.toml": "[tool.hostler]\n", "hostler.toml": ""}, "hostler.toml"),
    ],
)
def test_discovery(files: dict[str, str], found: str | None) -> None:
    for name, text in files.items():
        write(name, text)
    assert discover() == found


def test_a_broken_pyproject_without_us_is_not_our_business() -> None:
    write("pyproject.toml", "[project\n")
    assert discover() is None


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        (
            "hostler.toml",
            "threads = 2\n\n\n\n\n\nworker = 2\n",
            'hostler.toml:7: unknown option "worker" - did you mean "workers"?',
        ),
        ("hostler.toml", "colour = 2", 'hostler.toml:1: unknown option "colour"'),
        (
            "hostler.toml",
            'workers = 1\n[program.celery]\ncommand = "x"\n',
            'hostler.toml:2: unknown table "program": all options stand at one level, without tables',
        ),
        (
            "hostler.toml",
            "[[site]]\nname = 1\n",
            'hostler.toml:1: unknown table "site": all options stand at one level, without tables',
        ),
        (
            "hostler.toml",
            "[tool.hostler]\nworkers = 1\n",
            'hostler.toml:1: unknown table "tool": all options stand at one level, without tables',
        ),
        ("hostler.toml", "\nconfig = 'b.toml'", "hostler.toml:2: a configuration file cannot name another one"),
        (
            "pyproject.toml",
            "[tool.hostler]\nworker = 2",
            'pyproject.toml:2: unknown option "worker" - did you mean "workers"?',
        ),
        (
            "pyproject.toml",
            "[tool.hostler.limits]\nbody = 2",
            'pyproject.toml:1: unknown table "limits": all options stand at one level, without tables',
        ),
        ("pyproject.toml", "[tool.black]\n", "pyproject.toml: no [tool.hostler] table with options"),
        ("pyproject.toml", "[tool]\nhostler = 3", "pyproject.toml: no [tool.hostler] table with options"),
        ("hostler.toml", b"app = '\xff'", "hostler.toml: not a TOML file: it is not UTF-8 text"),
    ],
)
def test_complaints(name: str, text: str | bytes, complaint: str) -> None:
    write(name, text)
    with pytest.raises(ConfigError) as caught:
        from_file(name)
    assert caught.value.message == complaint


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("workers = 1\nthreads 2\n", 2),
        ("a = 1\nb = [1,\n2\n", 3),  # the parser says: at the end of the document
        ("workers = 1\nworkers = 2\n", 2),
        ("a = tru\n", 1),
        ("[", 1),
        ("workers = many", 1),
    ],
)
def test_syntax_errors_have_their_line(text: str, line: int) -> None:
    write("hostler.toml", text)
    with pytest.raises(ConfigError) as caught:
        from_file("hostler.toml")
    start = f"hostler.toml:{line}: not valid TOML: "
    assert caught.value.message.startswith(start)
    assert caught.value.message[len(start)].islower()
    assert "(at " not in caught.value.message


def test_a_file_that_cannot_be_read() -> None:
    with pytest.raises(ConfigError) as caught:
        from_file("gone.toml")
    assert caught.value.message == 'cannot read the configuration file "gone.toml": No such file or directory'
    with pytest.raises(ConfigError, match="Is a directory"):
        from_file(".")


@pytest.mark.parametrize(
    ("text", "wanted", "line"),
    [
        ("a = 1\nb = 2", "b", 2),
        ("# b = 1\n\nb=2", "b", 3),
        ("  'b' = 2", "b", 1),
        ("a = 'b = 1'\nb = 2", "b", 2),
        ("[x]\nb = 1\n[y]\nb = 2", "y b", 4),
        ("[ x . y ]\nb = 1", "x y b", 2),
        ('["x".y]\nb = 1', "x y b", 2),
        ("[x]\ny.b = 1", "x y b", 2),
        ("a = 1\nx.y.b = 1", "x y b", 2),
        ("a = 1\n[x]\ny = {a = 1, b = 2}", "x y b", 3),  # the inline table's line
        ("a = 1\n[[x]]\nb = 1", "x", 2),
        ("nothing", "b", 1),
    ],
)
def test_line_of(text: str, wanted: str, line: int) -> None:
    assert line_of(text, tuple(wanted.split())) == line
