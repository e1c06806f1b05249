"""Gradio: its page in a browser, its assets, calls by its own client, a reload in the middle of one."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.frameworks.conftest import APPS, Client, stop_in_order
from tests.integration.helpers import Serve, Server
from tests.integration.helpers.chromium import Chromium, needs_chromium

pytestmark = pytest.mark.heavy


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """Files in the test's own directory, nothing told to the makers of Gradio, and its many warnings not as errors."""
    return {
        "GRADIO_TEMP_DIR": str(tmp_path / "gradio"),
        "GRADIO_ANALYTICS_ENABLED": "False",
        "HOLD": str(tmp_path / "hold"),
        "PYTHONWARNINGS": "",
    }


def gradio_client(server: Server, tmp_path: Path) -> Any:
    from gradio_client import Client  # not there on each Python

    return Client(server.url("/"), verbose=False, download_files=tmp_path / "downloads", analytics_enabled=False)


def assets_of(browser: httpx.Client) -> list[str]:
    """Those that the page names, and those that these name."""
    page = browser.get("/")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    first = re.findall(r'(?:src|href)="\./(assets/[^"]+\.(?:js|css))"', page.text)
    script = next(name for name in first if name.endswith(".js"))
    second = re.findall(r'"\./([\w.-]+\.(?:js|css))"', browser.get(f"/{script}").text)
    return sorted({*first, *(f"assets/{name}" for name in second)})


def test_gradio_serves_its_page_and_calls_by_its_client(
    serve: Serve, client: Client, tmp_path: Path, env: dict[str, str]
) -> None:
    import gradio
    from gradio_client import handle_file

    server = serve("gradio_app:application", cwd=APPS, env=env)
    browser = client(server)
    assets = assets_of(browser)
    assert len(assets) > 10
    for asset in assets:
        assert (
            browser.get(f"/{asset}").content
            == (Path(gradio.__file__).parent / "templates/frontend" / asset).read_bytes()
        )

    caller = gradio_client(server, tmp_path)
    assert caller.predict("ann", api_name="/greet").startswith("hello ann from ")
    job = caller.submit(3, api_name="/count")
    assert (job.result(timeout=10), job.outputs()) == ("done", ["0", "1", "2", "done"])
    (tmp_path / "a.bin").write_bytes(b"x" * 3_000_000)
    assert caller.predict(handle_file(str(tmp_path / "a.bin")), api_name="/size") == 3_000_000
    caller.close()
    stop_in_order(server)
    assert "the lifespan has ended" in server.log


def test_call_by_gradio_client_ends_on_the_old_worker_of_a_reload(
    serve: Serve, tmp_path: Path, env: dict[str, str]
) -> None:
    (tmp_path / "hold").touch()
    server = serve("gradio_app:application", "--stream-drain", "20s", cwd=APPS, env=env)
    caller = gradio_client(server, tmp_path)
    job = caller.submit(3, api_name="/count")
    server.wait_for(lambda: job.outputs() == ["0", "1", "2"], "three parts")
    server.kill(signal.SIGHUP)
    server.wait_log("reloaded workers=")
    (tmp_path / "hold").unlink()
    assert job.result(timeout=10) == "done"
    caller.close()
    server.wait_log("the lifespan has ended")
    again = gradio_client(server, tmp_path)
    assert again.predict("bob", api_name="/greet").startswith("hello bob from ")
    again.close()
    stop_in_order(server)


@needs_chromium
def test_gradio_page_in_a_browser(serve: Serve, chromium: Chromium, env: dict[str, str]) -> None:
    server = serve("gradio_app:application", "--stream-drain", "300ms", cwd=APPS, env=env)

    def greet() -> str:
        """Press the button of a new page; returns what it shows."""
        chromium.wait("!!document.querySelector('#greet')")
        chromium.evaluate("document.querySelector('#greet').click()")
        return str(chromium.wait("document.querySelector('#greeting textarea').value"))

    chromium.open(server.url("/"))
    before = greet()
    server.kill(signal.SIGHUP)
    server.wait_log("the lifespan has ended")
    chromium.open(server.url("/"))
    assert greet() != before
    stop_in_order(server)
