"""The demo site and its API, used over HTTP as their visitors do."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.conftest import ROOT
from tests.integration.helpers import Serve, Server
from tests.integration.helpers.chromium import Chromium, needs_chromium
from tests.integration.helpers.once import copy_of

SITE = ROOT / "examples" / "demo"
API = ROOT / "examples" / "flask_api"
CSRF = re.compile(r'name="csrfmiddlewaretoken" value="(\w+)"')


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with the database, the administrator and the collected static files."""

    def prepare(data: Path) -> None:
        env = os.environ | {"DEMO_DATA": str(data)}
        for command in (["migrate"], ["demouser"], ["collectstatic", "--noinput"]):
            line = [sys.executable, "manage.py", *command, "--verbosity", "0"]
            subprocess.run(line, cwd=SITE, env=env, check=True)

    return copy_of(tmp_path_factory, "demo", prepare)


@pytest.fixture
def site(serve: Serve, prepared: Path) -> Server:
    """The site, as its hostler.toml has it: one worker, and the app found by itself."""
    return serve(cwd=SITE, env={"DEMO_DATA": str(prepared)})


@pytest.fixture
def browser(site: Server) -> Iterator[httpx.Client]:
    """Keeps cookies and connections, follows redirects."""
    # trust_env: a proxy of the developer's machine has no place between us and the server.
    with httpx.Client(base_url=site.url(), follow_redirects=True, trust_env=False, timeout=20) as client:
        yield client


def post_form(browser: httpx.Client, path: str, **form: object) -> httpx.Response:
    """Open a page with a form, and send the form back with its token."""
    token = CSRF.search(browser.get(path).text)
    assert token, f"{path} has no CSRF token"
    files = {name: value for name, value in form.items() if isinstance(value, tuple)}
    data = {name: value for name, value in form.items() if name not in files}
    data["csrfmiddlewaretoken"] = token.group(1)
    return browser.post(path, data=data, files=files or None, headers={"Referer": path})


def test_every_page_that_the_front_page_links_to_answers(browser: httpx.Client) -> None:
    front = browser.get("/")
    links = re.findall(r'<li><a href="([^"]+)"', front.text)
    assert len(links) == 9
    statuses = {link: browser.get(link).status_code for link in links}
    assert statuses.pop("/error/") == 500
    assert set(statuses.values()) == {200}, statuses


@needs_chromium
def test_the_live_page_in_a_browser(site: Server, tmp_path: Path) -> None:
    """One port: messages of Channels arrive while a WSGI request sleeps."""
    browser = Chromium(tmp_path)
    try:
        browser.open(site.url("/live/"))
        told = browser.wait("(/^(\\d+) messages came/.exec(document.getElementById('during').textContent) || [])[1]")
        assert int(told) >= 3, "a message each 0.2 s, and the page sleeps a second"
        browser.evaluate("document.querySelector('#say button').click()")
        assert browser.wait("document.getElementById('echo').textContent") == "HELLO"
    finally:
        browser.end()


def test_log_in_to_the_admin(browser: httpx.Client) -> None:
    assert 'id="id_username"' in browser.get("/admin/").text  # redirected to the login
    page = post_form(browser, "/admin/login/?next=/admin/", username="demo", password="demo")
    assert page.url.path == "/admin/"
    assert "Site administration" in page.text


def test_a_wrong_token_is_refused(browser: httpx.Client) -> None:
    form = {"csrfmiddlewaretoken": "x" * 64, "username": "demo", "password": "demo"}
    assert browser.post("/admin/login/", data=form).status_code == 403


@pytest.mark.parametrize("size", [0, 1, 5000, 3_000_000], ids="{} bytes".format)
def test_upload_a_file_and_download_it(browser: httpx.Client, size: int) -> None:
    # Bytes of every value, line ends among them; the largest is above what is kept in memory.
    content = (bytes(range(256)) * (size // 256 + 1))[:size]
    title = f"file of {size}"
    page = post_form(browser, "/documents/", title=title, file=("horse ü.bin", content))
    assert page.status_code == 200
    if not size:
        assert "The submitted file is empty" in page.text
        return
    row = re.search(rf'<td>{title}</td>\s*<td><a href="(/documents/\d+/)"', page.text)
    assert row, page.text
    download = browser.get(row.group(1))
    assert download.content == content
    assert download.headers["Content-Length"] == str(size)
    assert download.headers["Content-Disposition"].startswith("attachment;")


def test_upload_in_the_admin(browser: httpx.Client) -> None:
    post_form(browser, "/admin/login/?next=/admin/", username="demo", password="demo")
    path = "/admin/pages/document/add/"
    page = post_form(browser, path, title="from the admin", file=("a.txt", b"hay"))
    assert "was added successfully" in page.text


def test_the_page_that_calls_its_own_server(browser: httpx.Client) -> None:
    page = browser.get("/self/", params={"depth": 1})
    assert page.status_code == 200
    assert "1 call deep" in page.text


def test_twenty_calls_inside_each_other_on_one_worker(browser: httpx.Client) -> None:
    page = browser.get("/self/", params={"depth": 20})
    assert "20 calls deep" in page.text
    workers = set(re.findall(r"<td>(\d+)</td>", page.text))
    threads = re.findall(r"</td><td>([^<]+)</td></tr>", page.text)
    assert len(workers) == 1
    assert len(set(threads)) == len(threads) == 20


def test_with_a_single_thread_a_call_to_oneself_is_answered_and_named(serve: Serve, prepared: Path) -> None:
    options = ("--threads", "1", "--queue-timeout", "2s")
    server = serve(None, *options, cwd=SITE, env={"DEMO_DATA": str(prepared)})
    began = time.monotonic()
    page = httpx.get(server.url("/self/"), params={"depth": 1}, trust_env=False, timeout=20)
    assert page.status_code == 503
    assert 1.5 < time.monotonic() - began < 10
    (line,) = server.wait_log("standstill; a request of this server to itself waits for its own thread .*")
    assert 'request="GET /self/hops/?depth=1" sent_by="this very worker"' in line
    assert 'running="GET /self/?depth=1"' in line


def test_slow_requests_do_not_wait_for_each_other(site: Server) -> None:
    began = time.monotonic()
    with ThreadPoolExecutor(6) as pool:
        url = site.url("/slow/")
        pages = list(pool.map(lambda _: httpx.get(url, trust_env=False, timeout=20), range(6)))
    assert {page.status_code for page in pages} == {200}
    # One after the other they take 6 seconds.
    assert time.monotonic() - began < 4


def test_a_stream_arrives_line_by_line(browser: httpx.Client) -> None:
    arrived = []
    with browser.stream("GET", "/stream/") as response:
        assert "Content-Length" not in response.headers
        for line in response.iter_lines():
            arrived.append((line, time.monotonic()))
    assert [line for line, _ in arrived] == [f"line {n} of 10" for n in range(1, 11)]
    # 9 pauses of 0.2 s lie between the first line and the last.
    assert arrived[-1][1] - arrived[0][1] > 1


def test_static_files_have_hashed_names_and_may_be_kept(browser: httpx.Client) -> None:
    front = browser.get("/")
    style = re.search(r'href="(/static/pages/style\.[0-9a-f]+\.css)"', front.text)
    assert style, front.text
    answer = browser.get(style.group(1), headers={"Accept-Encoding": "identity"})
    assert answer.content == (SITE / "pages/static/pages/style.css").read_bytes()
    assert "immutable" in answer.headers["Cache-Control"]
    etag = {"If-None-Match": answer.headers["ETag"]}
    assert browser.get(style.group(1), headers=etag).status_code == 304


def test_head_has_the_length_and_no_body(browser: httpx.Client) -> None:
    size = (SITE / "pages/views.py").stat().st_size
    answer = browser.head("/source/")
    assert answer.headers["Content-Length"] == str(size)
    assert answer.content == b""
    assert browser.get("/source/").content == (SITE / "pages/views.py").read_bytes()


def test_an_error_is_a_500_and_a_traceback_in_the_log(site: Server, browser: httpx.Client) -> None:
    assert browser.get("/error/").status_code == 500
    site.wait_log("RuntimeError: this page always fails")
    assert browser.get("/").status_code == 200


@pytest.fixture
def api(serve: Serve, tmp_path: Path) -> Iterator[httpx.Client]:
    """The Flask API, as its hostler.toml has it: the app comes from a factory."""
    server = serve(cwd=API, env={"NOTES_DB": str(tmp_path / "notes.sqlite3")})
    with httpx.Client(base_url=server.url(), trust_env=False, timeout=20) as client:
        yield client


def test_the_api_stores_and_exports_notes(api: httpx.Client) -> None:
    texts = ["feed the horses", "mend the ☂ roof"]
    for number, text in enumerate(texts, start=1):
        created = api.post("/notes", json={"text": text})
        assert (created.status_code, created.headers["Location"]) == (201, f"/notes/{number}")
    assert api.get("/notes/2").json() == {"id": 2, "text": texts[1]}
    lines = api.get("/notes.ndjson").text.splitlines()
    assert len(lines) == 2


def test_the_api_deletes_with_a_bodiless_204(api: httpx.Client) -> None:
    api.post("/notes", json={"text": "once"})
    gone = api.delete("/notes/1")
    assert (gone.status_code, gone.content) == (204, b"")
    assert api.get("/notes/1").status_code == 404  # on the same connection


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"text": 1}', b'{"text": ""}'])
def test_the_api_refuses_what_is_not_a_note(api: httpx.Client, body: bytes) -> None:
    answer = api.post("/notes", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert "error" in answer.json()
