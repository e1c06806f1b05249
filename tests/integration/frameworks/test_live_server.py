"""`hostler.testing.LiveServer` in place of daphne's process."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import httpx
import pytest

from hostler.testing import LiveServer


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": os.environ.get("LIVE", "").encode()})


def fails() -> Any:
    raise ValueError("no application")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_it_serves_until_it_is_terminated(host: str) -> None:
    server = LiveServer(host, lambda: application, setup=lambda: os.environ.update(LIVE="set up"))
    server.start()
    try:
        assert server.ready.wait(1)
        answer = httpx.get(f"http://{host}:{server.port.value}/", trust_env=False)
        assert answer.text == "set up"
    finally:
        server.terminate()
        server.join(20)
    assert not server.is_alive()


def test_a_server_that_does_not_start_says_so() -> None:
    server = LiveServer("127.0.0.1", fails)
    with pytest.raises(RuntimeError, match="the live server did not start"):
        server.start()
    server.join(20)


class OfTwo(Exception):
    """It can be pickled, and cannot be read again."""

    def __init__(self, one: object, two: object) -> None:
        super().__init__(f"{one} and {two}")


def fails_oddly() -> Any:
    raise OfTwo(1, 2)


def not_set_up() -> None:
    raise ValueError("no application")


async def does_not_start(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})


@pytest.mark.parametrize(
    ("make", "setup", "kind", "text"),
    [
        (fails, None, ValueError, "no application"),
        (fails_oddly, None, RuntimeError, "OfTwo: 1 and 2"),
        (lambda: application, not_set_up, ValueError, "no application"),
        (lambda: does_not_start, None, RuntimeError, "the server ended with code 3"),
    ],
    ids=["application", "not to be pickled", "setup", "lifespan"],
)
def test_exception_of_a_server_that_does_not_start_is_kept(make: Any, setup: Any, kind: type, text: str) -> None:
    server = LiveServer("127.0.0.1", make, setup=setup)
    with pytest.raises(RuntimeError, match="the live server did not start") as caught:
        server.start()
    cause = caught.value.__cause__
    assert type(cause) is kind
    assert text in str(cause)
    assert "Traceback (most recent call last)" in str(caught.value)
    assert not server.errors.empty()
    error, trace = server.errors.get()
    assert (type(error), "Traceback" in trace) == (kind, True)
    server.join(20)


def test_channels_live_server_tests(tmp_path: Path) -> None:
    """Channels' own test case, with a database, a page and a WebSocket."""
    (tmp_path / "live_site.py").write_text(
        textwrap.dedent(
            """
            from channels.generic.websocket import WebsocketConsumer
            from channels.routing import ProtocolTypeRouter, URLRouter
            from django.conf import settings

            settings.configure(
                ALLOWED_HOSTS=["*"], SECRET_KEY="x", ROOT_URLCONF="live_site", STATIC_URL="/static/",
                INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.staticfiles"],
                ASGI_APPLICATION="live_site.application",
                DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "site.db",
                                       "TEST": {"NAME": "test.db"}}},
            )
            import django
            django.setup()
            from django.core.asgi import get_asgi_application
            from django.http import HttpResponse
            from django.urls import path

            def count(request):
                from django.contrib.contenttypes.models import ContentType
                return HttpResponse(str(ContentType.objects.filter(model="horse").count()))

            class Echo(WebsocketConsumer):
                def receive(self, text_data=None, bytes_data=None):
                    self.send(text_data)

            urlpatterns = [path("", count)]
            application = ProtocolTypeRouter({
                "http": get_asgi_application(),
                "websocket": URLRouter([path("ws", Echo.as_asgi())]),
            })
            """
        )
    )
    (tmp_path / "test_live.py").write_text(
        textwrap.dedent(
            """
            import urllib.request
            from channels.testing import ChannelsLiveServerTestCase
            from hostler.testing import LiveServer
            from websockets.sync.client import connect

            class Tests(ChannelsLiveServerTestCase):
                ProtocolServerProcess = LiveServer
                host = "127.0.0.1"

                def test_page_and_socket(self):
                    from django.contrib.contenttypes.models import ContentType
                    ContentType.objects.create(app_label="stable", model="horse")
                    with urllib.request.urlopen(self.live_server_url) as answer:
                        self.assertEqual(answer.read(), b"1")
                    with connect(self.live_server_ws_url + "/ws", proxy=None) as ws:
                        ws.send("hello")
                        self.assertEqual(ws.recv(), "hello")
            """
        )
    )
    (tmp_path / "run.py").write_text(
        "import live_site, sys\nfrom django.test.runner import DiscoverRunner\n"
        "sys.exit(DiscoverRunner(interactive=False).run_tests(['test_live']))\n"
    )
    done = subprocess.run([sys.executable, "run.py"], cwd=tmp_path, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stdout + done.stderr
