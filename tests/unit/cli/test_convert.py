"""`hostler convert`: what it writes is accepted, and means what gunicorn did."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from hostler.cli import main
from hostler.cli.gunicorn.reading import read
from hostler.cli.gunicorn.translation import translate
from hostler.config import load
from hostler.config.settings import Config
from hostler.config.sources.file import from_file

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
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GUNICORN_CMD_ARGS", raising=False)


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


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", "--help"]) == 0
    assert main(["help", "convert"]) == 0
    assert main(["convert"]) == 2
    assert "Usage: hostler convert" in capsys.readouterr().out
