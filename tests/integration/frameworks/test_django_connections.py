"""Connections that the app opens in threads and greenlets of its own: without and with hostler.integrations.django."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.helpers import Serve, Server, postgres

pytestmark = pytest.mark.skipif(postgres.programs() is None, reason="PostgreSQL is not installed")

# Each request starts a thread (or greenlet) that asks the database. The collector rests, as after gc.freeze() and with
# the thresholds that are recommended for production.
APP = """
    import gc
    import os
    import sys
    import threading

    if os.environ["KEEP"] == "yes":
        import hostler.integrations.django
        hostler.integrations.django.install = lambda: None

    from django.conf import settings

    OPTIONS = {"pool": {"min_size": 1, "max_size": 4, "timeout": 0.2}} if os.environ["WAY"] == "pool" else {}
    settings.configure(
        ALLOWED_HOSTS=["*"], ROOT_URLCONF="app", SECRET_KEY="x", USE_TZ=True, LOGGING_CONFIG=None,
        DATABASES={"default": {
            "ENGINE": "django.db.backends.postgresql", "NAME": "postgres", "USER": "postgres", "HOST": "127.0.0.1",
            "PORT": os.environ["DBPORT"], "OPTIONS": OPTIONS, "DISABLE_SERVER_SIDE_CURSORS": True,
            "CONN_MAX_AGE": 0 if OPTIONS else None,
        }},
    )

    from django.core.wsgi import get_wsgi_application
    from django.db import connection
    from django.http import HttpResponse
    from django.urls import path

    def ask(found):
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 42")
                found.append(cursor.fetchone()[0])
        except Exception as error:
            found.append(repr(error))

    def in_thread(request):
        found = []
        thread = threading.Thread(target=ask, args=(found,))
        thread.start()
        thread.join()
        return HttpResponse(str(found[0]))

    def in_greenlet(request):
        import gevent
        found = []
        gevent.spawn(ask, found).join()
        return HttpResponse(str(found[0]))

    def in_request(request):
        found = []
        ask(found)
        return HttpResponse(str(found[0]))

    def dummies(request):
        return HttpResponse(str(sum(isinstance(t, threading._DummyThread) for t in threading.enumerate())))

    urlpatterns = [path(view.__name__, view) for view in (in_thread, in_greenlet, in_request, dummies)]
    application = get_wsgi_application()
    gc.collect()
    gc.freeze()
    gc.disable()
"""
REQUESTS = 200
MOST = 20  # connections that the database, or PgBouncer, takes


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with postgres.postgres(tmp_path_factory.mktemp("database"), MOST) as port:
        yield port


@pytest.fixture
def way(request: pytest.FixtureRequest, database: int, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment for one of three ways to the database."""
    with ExitStack() as stack:
        port = database
        if request.param == "pgbouncer":
            if postgres.bouncer() is None:
                pytest.skip("PgBouncer is not installed")
            port = stack.enter_context(postgres.pgbouncer(tmp_path, database, MOST))
        yield {"WAY": request.param, "DBPORT": str(port)}


def errors(server: Server, view: str, requests: int = REQUESTS) -> list[str]:
    found = []
    with server.connect(timeout=30) as connection:
        for _ in range(requests):
            body = connection.request(f"GET /{view} HTTP/1.1\r\nHost: x\r\n\r\n".encode()).body
            if body != b"42":
                found.append(body.decode())
    return found


@pytest.mark.parametrize("way", ["direct", "pool", "pgbouncer"], indirect=True)
@pytest.mark.parametrize(("driver", "view"), [("threads", "in_thread"), ("gevent", "in_greenlet")])
def test_connections_go_with_their_owner(serve: Serve, way: dict[str, str], driver: str, view: str) -> None:
    target = serve.source(APP)
    without = serve(target, "--driver", driver, env=way | {"KEEP": "yes"})
    lost = errors(without, view, 40)
    assert lost, "otherwise this shows nothing"
    assert any(word in lost[-1] for word in ("too many", "no more connections", "couldn't get a connection")), lost[-1]
    print(f"{view}, {way['WAY']}: {len(lost)} of 40 failed without")
    without.end()
    server = serve(target, "--driver", driver, env=way | {"KEEP": "no"})
    assert errors(server, view) == []


@pytest.mark.parametrize("way", ["direct"], indirect=True)
def test_an_app_thread_that_leaves_takes_its_connection_along(serve: Serve, way: dict[str, str], database: int) -> None:
    server = serve(serve.source(APP), "--thread-idle", "1", env=way | {"KEEP": "no"})
    assert errors(server, "in_request", 5) == []
    assert errors(server, "in_thread", 5) == []
    with server.connect() as connection:
        assert connection.request(b"GET /dummies HTTP/1.1\r\nHost: x\r\n\r\n").body == b"0", (
            "no thread is noted for ever"
        )
