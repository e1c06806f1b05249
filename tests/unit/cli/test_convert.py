"""`hostler convert`: what it writes is accepted, and means what gunicorn did."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostler.cli import main
from hostler.cli.gunicorn.reading import read
from hostler.cli.gunicorn.translation import translate
from hostler.config import load
from hostler.config.settings import Config
from hostler.config.sources.file import from_file
from hostler.hook_file import functions_of

FILE = """
bind = ["0.0.0.0:8000", "unix:/tmp/shop.sock"]
workers = 4
timeout = 90
worker_tmp_dir = "/dev/shm"
raw_env = ["DJANGO_SETTINGS_MODULE=shop.settings", "GREETING=a \\"b\\", c"]
max_requests = 1000
max_requests_jitter = 50
logconfig_dict = {"version": 1, "loggers": {"shop": {"level": "INFO"}}}

def post_fork(server, worker):
    pass
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GUNICORN_CMD_ARGS", raising=False)
    monkeypatch.setattr("sys.path", sys.path.copy())
    yield
    for name in [each for each in sys.modules if each.startswith("shop")]:  # of one test's directory
        del sys.modules[name]


@pytest.mark.parametrize(
    "line",
    [
        "shop.wsgi",
        "-w 4 -k gthread --threads 8 -b :80 shop.wsgi:application",
        "-k uvicorn.workers.UvicornWorker --forwarded-allow-ips='*' api:app",
        "-k gevent --worker-connections 100 -t 0 --keep-alive 65 shop.wsgi",
        "--preload --access-logfile - --log-level debug --umask 007 --limit-request-line 0 shop.wsgi",
        "-c settings.py shop.wsgi",
    ],
)
def test_means_the_same(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("settings.py").write_text(FILE)
    given = translate(read(shlex.split(line), {}))
    wanted = dict(load(given.assignments, {}, given.defaults).values)
    assert main(["convert", "-o", "hostler.toml", "gunicorn", *shlex.split(line)]) == 0
    found = dict(Config(from_file("hostler.toml")).values)
    hooks, wanted_hooks = found.pop("hooks"), wanted.pop("hooks")
    assert (hooks.path if hooks else "") == wanted_hooks.path
    assert found == wanted
    assert "is written" in capsys.readouterr().err


def test_says_where_lines_come_from(capsys: pytest.CaptureFixture[str]) -> None:
    Path("gunicorn.conf.py").write_text(FILE)
    assert main(["convert", "gunicorn.conf.py"]) == 0
    text = capsys.readouterr().out
    assert "\n# gunicorn.conf.py: workers\nworkers = 4\n" in text
    assert "# gunicorn.conf.py: timeout: sync: `request_timeout`" in text
    assert "# gunicorn.conf.py: worker_tmp_dir changes nothing: a heartbeat is a number in shared memory" in text
    assert 'hooks = "gunicorn.conf.py"' in text
    assert "# What gunicorn does by default:\n" in text


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("uwsgi.ini", '"uwsgi.ini" cannot be converted'),
        ("gunicorn --certfile x a:b", "--certfile: TLS is a proxy's business"),
        ("gunicorn -w many a:b", '-w: "many" is not a whole number'),
        ("-o", "-o needs a value"),
        ("-o here gunicorn a:b", "-o here: the file is there already"),
        ("-o no/where gunicorn a:b", "-o no/where: No such file or directory"),
        ("nowhere.py", '-c: there is no file "nowhere.py"'),
    ],
)
def test_complaints(line: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("here").touch()
    assert main(["convert", *line.split()]) == 2
    assert said in capsys.readouterr().err


SHOP_LOGS = """
import logging

class Json(logging.Formatter):
    pass

class Filters:
    class Health(logging.Filter):
        pass

def sink():
    return logging.NullHandler()
"""
OBJECTS = """
import logging, pathlib, sys
from shoplogs import Filters, Json, sink

logconfig_dict = {
    "version": 1,
    "formatters": {"json": {"()": Json, "fmt": "%(message)s"}},
    "filters": {"health": {"()": Filters.Health}},
    "handlers": {
        "out": {"class": logging.StreamHandler, "stream": sys.stdout, "filters": ("health",), "formatter": "json"},
        "file": {"()": sink, "made_by": logging.FileHandler, "filename": pathlib.Path("x.log"), "errors": None},
    },
    "root": {"level": logging.INFO, "handlers": ["out"]},
}
"""


def test_objects_of_a_logging_dict_are_written_by_their_names() -> None:
    Path("shoplogs.py").write_text(SHOP_LOGS)
    Path("gunicorn.conf.py").write_text(OBJECTS)
    assert main(["convert", "-o", "hostler.toml", "gunicorn.conf.py"]) == 0
    found = Config(from_file("hostler.toml")).log_config
    assert isinstance(found, dict)
    assert found == {
        "version": 1,
        "formatters": {"json": {"()": "shoplogs.Json", "fmt": "%(message)s"}},
        "filters": {"health": {"()": "shoplogs.Filters.Health"}},
        "handlers": {
            "out": {
                "class": "logging.StreamHandler",
                "stream": "ext://sys.stdout",
                "filters": ["health"],
                "formatter": "json",
            },
            "file": {
                "()": "shoplogs.sink",
                "made_by": "ext://logging.FileHandler",
                "filename": "x.log",
                "errors": None,
            },
        },
        "root": {"level": 20, "handlers": ["out"]},
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "class Own: pass\nlogconfig_dict = {'formatters': {'f': {'()': Own}}}",
            "formatters.f.(): Own is defined in the",
        ),
        ("logconfig_dict = {'f': lambda: 1}", "logconfig_dict.f: <lambda>, a local object"),
        ("logconfig_dict = {'f': [object()]}", "logconfig_dict.f[0]: this object (object) has no name"),
        ("logconfig_dict = {'f': {1: 2}}", "logconfig_dict.f: the key 1 is no text"),
        ("def post_fork(s, w):\n    s.log.info(s.cfg.timeout)", "gunicorn.conf.py:2 reads cfg.timeout"),
        ("raw_env = ['A=\\udc80']", "bytes that are no UTF-8 text"),
        ("limit_request_line = 100\nwhen_ready = 'shop.gone'", '"shop.gone" cannot be imported'),
    ],
)
def test_what_serve_would_refuse_is_not_written(text: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("gunicorn.conf.py").write_text(text)
    assert main(["convert", "-o", "hostler.toml", "gunicorn.conf.py"]) == 2
    assert said in capsys.readouterr().err
    assert not Path("hostler.toml").exists()


def test_control_characters_do_not_break_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    line = ["-e", "A=\x7f\x1b", "a:b", "more\x1b\nworkers = 7"]
    assert main(["convert", "-o", "hostler.toml", "gunicorn", *line]) == 0
    found = Config(from_file("hostler.toml"))
    assert (found.env, found.workers) == ((("A", "\x7f\x1b"),), 1)


def test_hooks_of_the_converted_file_are_those_of_gunicorns(tmp_path: Path) -> None:
    """Hooks named by strings and hooks that are None, and a path that begins in another directory."""
    Path("shophooks.py").write_text("def ready(server):\n    pass\n")
    Path("elsewhere").mkdir()
    Path("gunicorn.conf.py").write_text(
        "import shophooks\nwhen_ready = 'shophooks.ready'\non_exit = None\nchdir = 'elsewhere'\n"
    )
    assert main(["convert", "-o", "hostler.toml", "gunicorn.conf.py"]) == 0
    source = Config(from_file("hostler.toml")).hooks
    assert source is not None
    assert source.path == str(tmp_path / "gunicorn.conf.py")
    assert {name: each.__name__ for name, each in functions_of(source).items()} == {"when_ready": "ready"}


def test_what_a_file_of_options_cannot_say_is_a_comment(capsys: pytest.CaptureFixture[str]) -> None:
    text = (
        "raw_env = ['SCRIPT_NAME=/shop']\nlogger_class = 'shoplogs.Logger'\ndef child_exit(server, worker):\n    pass\n"
    )
    Path("gunicorn.conf.py").write_text(text)
    assert main(["convert", "gunicorn.conf.py"]) == 0
    written = capsys.readouterr().out
    assert "# SCRIPT_NAME: name the path with the application" in written
    assert "# logger_class is not made" in written
    assert "# env: the variables are set in workers alone" in written
    assert main(["convert", "gunicorn", "shop.wsgi"]) == 0
    assert 'app = "shop.wsgi@/shop"' in capsys.readouterr().out


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", "--help"]) == 0
    assert main(["help", "convert"]) == 0
    assert main(["convert"]) == 2
    assert "Usage: hostler convert" in capsys.readouterr().out
