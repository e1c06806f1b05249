"""NiceGUI: its page in a browser, which talks Socket.IO, through a reload; its assets."""

from __future__ import annotations

import re
import signal

import pytest

from tests.integration.frameworks.conftest import APPS, Client, stop_in_order
from tests.integration.helpers import Serve
from tests.integration.helpers.chromium import Chromium, needs_chromium

pytestmark = pytest.mark.heavy


def test_nicegui_page_and_its_assets(serve: Serve, client: Client) -> None:
    server = serve("nicegui_app:application", cwd=APPS)
    browser = client(server)
    page = browser.get("/")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "clicked 0 times" in page.text
    assets = re.findall(r'(?:src|href)="(/[^"]+)"', page.text)
    assert len(assets) > 5
    for asset in assets:
        response = browser.get(asset)
        assert response.status_code == 200, asset
        assert response.content, asset
    stop_in_order(server)
    assert "the lifespan has ended" in server.log


@needs_chromium
def test_nicegui_page_in_a_browser_goes_on_after_a_reload(serve: Serve, chromium: Chromium) -> None:
    server = serve("nicegui_app:application", cwd=APPS)

    def click() -> int:
        """Click once on a new page; returns the worker."""
        chromium.wait("document.body.innerText.includes('ticks')")  # the page is connected
        assert chromium.evaluate("/clicked 0 times/.test(document.body.innerText)")
        chromium.evaluate("document.querySelector('button').click()")
        return int(chromium.wait("(/clicked 1 times at (\\d+)/.exec(document.body.innerText) || [])[1]"))

    chromium.open(server.url("/"))
    before = click()
    server.kill(signal.SIGHUP)
    server.wait_log("reloaded workers=")
    chromium.wait(f"!document.body.innerText.includes('{before}') && document.body.innerText.includes('clicked 0')")
    assert click() != before
    stop_in_order(server)
    assert server.log.count("the lifespan has ended") == 2
