"""Settings in a package, one module for each environment, as cookiecutter-django lays a project out."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.integration.frameworks.conftest import APPS, Client, stop_in_order
from tests.integration.helpers import Serve
from tests.integration.helpers.once import copy_of

SECRET = {"DJANGO_SECRET_KEY": "of production"}
PRODUCTION = "config.settings.production"
BEHIND_TLS = {"X-Forwarded-Proto": "https"}


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project as its documentation has it deployed: migrated, static files collected."""

    def deploy(folder: Path) -> None:
        shutil.copytree(APPS / "cookiecutter", folder, dirs_exist_ok=True)
        env = {**os.environ, **SECRET, "DJANGO_SETTINGS_MODULE": PRODUCTION}
        for command in (["migrate"], ["collectstatic", "--noinput"]):
            line = [sys.executable, "manage.py", *command]
            subprocess.run(line, cwd=folder, env=env, check=True, capture_output=True)

    return copy_of(tmp_path_factory, "layout", deploy)


@pytest.fixture
def project(deployed: Path, tmp_path: Path) -> Path:
    return shutil.copytree(deployed, tmp_path / "project")


def post(browser: httpx.Client, text: str) -> httpx.Response:
    """Send the page's form, as a browser does that sees https."""
    page = browser.get("/", headers=BEHIND_TLS)
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
    assert token is not None
    # The client knows of no TLS and keeps secure cookies to itself.
    headers = {**BEHIND_TLS, "Cookie": f"csrftoken={page.cookies['csrftoken']}", "Referer": f"https://{page.url.host}/"}
    data = {"text": text, "csrfmiddlewaretoken": token.group(1)}
    return browser.post("/", data=data, headers={**headers, "Host": page.url.host})


def test_project_without_app_serves_production_through_a_reload(serve: Serve, project: Path, client: Client) -> None:
    server = serve(None, cwd=project, env=SECRET)
    assert f"app=config.wsgi:application settings={PRODUCTION}" in server.log
    browser = client(server)
    plain = browser.get("/")
    assert (plain.status_code, plain.headers["Location"]) == (301, server.url("/").replace("http:", "https:"))
    assert post(browser, "one").status_code == 302
    page = browser.get("/", headers=BEHIND_TLS)
    assert "<li>one</li>" in page.text
    assert "<p>secure</p>" in page.text
    style = re.search(r'href="(/static/css/project\.\w+\.css)"', page.text)
    assert style is not None
    found = browser.get(style.group(1), headers={**BEHIND_TLS, "Accept-Encoding": "gzip"})
    assert (found.headers["Content-Type"], found.headers["Content-Encoding"]) == ('text/css; charset="utf-8"', "gzip")
    assert "immutable" in found.headers["Cache-Control"]
    assert found.content == (project / "shop/static/css/project.css").read_bytes()

    with browser.stream("GET", "/export/", headers=BEHIND_TLS) as response:
        lines = response.iter_lines()
        assert next(lines) == "first"
        server.kill(signal.SIGHUP)
        server.wait_log("reloaded workers=")
        assert post(client(server), "two").status_code == 302
        (project / "go").touch()
        assert list(lines) == ["last"], "the old worker ends what it has begun"
    assert "<li>two</li>" in browser.get("/", headers=BEHIND_TLS).text
    stop_in_order(server)


def test_production_without_its_secret_is_refused_with_the_line_that_wants_it(serve: Serve, project: Path) -> None:
    server = serve(None, cwd=project, ready=False)
    assert server.wait() == 4
    assert "KeyError: 'DJANGO_SECRET_KEY'" in server.log


def test_asgi_of_the_project_serves_websockets_through_a_reload(serve: Serve, project: Path) -> None:
    server = serve("config.asgi", cwd=project, env={**SECRET, "DJANGO_SETTINGS_MODULE": PRODUCTION})
    assert f"settings={PRODUCTION}" in server.log
    assert "<p>secure</p>" in httpx.get(server.url("/"), headers=BEHIND_TLS, trust_env=False).text
    url = server.url("/").replace("http:", "ws:")
    with connect(url) as socket:
        socket.send("ping")
        assert socket.recv(timeout=10) == "pong!"
        server.kill(signal.SIGHUP)
        with pytest.raises(ConnectionClosed, match="1012"):
            socket.recv(timeout=10)
    with connect(url) as socket:
        socket.send("ping")
        assert socket.recv(timeout=10) == "pong!"
        server.wait_log("reloaded workers=")
        stop_in_order(server)


def test_asgi_py_with_settings_of_a_developer_is_warned_of(serve: Serve, project: Path) -> None:
    server = serve(None, "--interface", "asgi", cwd=project)
    assert "app=config.asgi:application settings=config.settings.local" in server.log
    assert len(re.findall("WARNING.* debug mode is on.* switch=DEBUG of config.settings.local", server.log)) == 1
    assert "<p>plain</p>" in httpx.get(server.url("/"), trust_env=False).text
