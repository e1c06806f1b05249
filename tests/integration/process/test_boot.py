"""From the command to the first answer: what is said, in which order, and what ends a start."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path

import pytest

from tests.integration.helpers import HELLO, Serve
from tests.integration.helpers.apps import SLOW
from tests.unit.helpers.imports import HEAVY

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
MODULES = """
    import sys
    MODULES = " ".join(sys.modules).encode()  # of the arbiter, and of a worker before it runs an app
    def application(environ, start_response):
        start_response("200 OK", [("Content-Length", str(len(MODULES)))])
        return [MODULES]
"""


def touch(serve: Serve, name: str) -> None:
    (serve.directory / name).touch()


def test_says_that_it_listens_when_a_worker_answers(serve: Serve) -> None:
    server = serve(serve.source(SLOW), ready=False)
    server.wait_for((serve.directory / "importing").exists, "the import")
    assert server.log == ""
    touch(serve, "go")
    server.wait_ready()
    assert "(1 worker, up to 256 threads)" in server.log
    with server.connect() as connection:
        assert connection.request(GET).status == 200


def test_each_address_has_its_line(serve: Serve, tmp_path: Path) -> None:
    server = serve(serve.source(HELLO), "-w", "2", "-t", "1", bind=["127.0.0.1:0", f"unix:{tmp_path}/s"])
    assert len(server.addresses) == 2
    assert server.log.count("(2 workers, 1 thread)") == 2
    for index in range(2):
        with server.connect(index) as connection:
            assert connection.request(GET).body == b"hello"


def test_app_that_does_not_load_is_said_once_and_ends_with_4(serve: Serve) -> None:
    serve.source("import of_mars")
    server = serve("app", "--workers", "3", ready=False)
    assert server.wait() == 4
    assert server.log.count("No module named 'of_mars'") == 2  # the headline, and the traceback's last line
    assert server.log.count("Traceback") == 1
    assert f"Install of_mars for {sys.executable}" in server.log
    assert "hostler/worker" not in server.log


def test_worker_that_dies_without_a_word_is_tried_again_then_3(serve: Serve) -> None:
    serve.source("import os; os._exit(77)")
    server = serve("app", ready=False)
    assert server.wait() == 3
    assert len(re.findall(r"worker died before it was ready .* exit_code=77", server.log)) == 5
    assert "giving up: no worker can boot" in server.log


def test_boot_that_takes_too_long_is_ended(serve: Serve) -> None:
    server = serve(serve.source(SLOW), "--boot-timeout", "300ms", ready=False)
    server.wait_log("worker killed; it was not ready in time")
    touch(serve, "go")
    server.wait_ready()


def test_stop_while_booting(serve: Serve) -> None:
    server = serve(serve.source(SLOW), ready=False)
    server.wait_for((serve.directory / "importing").exists, "the import")
    assert server.stop() == 0


def test_app_finds_its_neighbours_and_the_python_path(serve: Serve, tmp_path: Path) -> None:
    for folder, name in (("lib", "from_path"), ("site", "neighbour")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{name}.py").write_text("X = b'x'")
    code = (
        "import from_path, neighbour, os\n"
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [from_path.X, neighbour.X, os.getcwd().encode()]\n"
    )
    (tmp_path / "site" / "main.py").write_text(code)
    server = serve("main", "--chdir", "site", "--pythonpath", "../lib")
    with server.connect() as connection:
        assert connection.request(GET).body == b"xx" + str(tmp_path / "site").encode()


def test_django_project_needs_no_name(serve: Serve, tmp_path: Path) -> None:
    pytest.importorskip("django")
    (tmp_path / "manage.py").write_text(
        'import os\nos.environ.setdefault("DJANGO_SETTINGS_MODULE", "conf")\nraise SystemExit("not executed")'
    )
    (tmp_path / "conf.py").write_text("SECRET_KEY = 'x'\nALLOWED_HOSTS = ['*']\nROOT_URLCONF = 'urls'\n")
    (tmp_path / "urls.py").write_text(
        "from django.http import HttpResponse\nfrom django.urls import path\n"
        "urlpatterns = [path('', lambda request: HttpResponse('django'))]\n"
    )
    server = serve()
    with server.connect() as connection:
        assert connection.request(GET).body == b"django"
    assert "app=django.core.wsgi:get_wsgi_application() settings=conf" in server.log


ENTRY = """
import os
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings.production")
from django.core.wsgi import get_wsgi_application
application = get_wsgi_application()
"""


def project(folder: Path) -> None:
    """A Django project whose manage.py and wsgi.py have settings of their own."""
    pytest.importorskip("django")
    (folder / "shop" / "settings").mkdir(parents=True)
    manage = 'import os\nos.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings.dev")\n'
    (folder / "manage.py").write_text(manage)
    (folder / "shop" / "wsgi.py").write_text(ENTRY)
    for name, debug in (("dev", True), ("production", False)):
        text = f"DEBUG = {debug}\nSECRET_KEY = 'x'\nALLOWED_HOSTS = ['*']\nROOT_URLCONF = 'shop.urls'\n"
        (folder / "shop" / "settings" / f"{name}.py").write_text(text)
    (folder / "shop" / "urls.py").write_text(
        "from django.conf import settings\nfrom django.http import HttpResponse\nfrom django.urls import path\n"
        "urlpatterns = [path('', lambda request: HttpResponse(settings.SETTINGS_MODULE))]\n"
    )


@pytest.mark.parametrize("preload", [False, True])
def test_django_project_without_app_runs_the_settings_of_its_wsgi_py(
    serve: Serve, tmp_path: Path, preload: bool
) -> None:
    project(tmp_path)
    server = serve("--preload=on" if preload else "--preload=off", "--workers=2")
    with server.connect() as connection:
        assert connection.request(GET).body == b"shop.settings.production"
    assert "app=shop.wsgi:application settings=shop.settings.production" in server.log
    assert "debug mode" not in server.log


@pytest.mark.parametrize("reload", [False, True])
def test_debug_mode_is_warned_of_once_without_reload(serve: Serve, tmp_path: Path, reload: bool) -> None:
    project(tmp_path)
    server = serve("--reload" if reload else "--workers=3", env={"DJANGO_SETTINGS_MODULE": "shop.settings.dev"})
    server.stop()
    assert server.log.count("[WARNING]") == (0 if reload else 1)
    assert ("debug mode is on" in server.log) == (not reload)
    assert "settings=shop.settings.dev" in server.log


def test_debug_mode_of_an_application_is_warned_of(serve: Serve) -> None:
    server = serve(
        serve.source("class App:\n    debug = True\n    def __call__(self, e, s): ...\napplication = App()\n")
    )
    server.wait_log("debug mode is on; .*debug of app")


def test_reload_names_the_application_where_it_has_changed(serve: Serve, tmp_path: Path) -> None:
    project(tmp_path)
    server = serve()
    entry = tmp_path / "shop" / "wsgi.py"
    entry.write_text(ENTRY.replace("production", "dev"))
    server.kill(signal.SIGHUP)
    server.wait_log("the application has changed app=shop.wsgi:application settings=shop.settings.dev")
    server.wait_log("debug mode is on")


@pytest.mark.parametrize("name", ["wsgi.py", "asgi.py", "app.py", "main.py"])
def test_application_of_the_directory_needs_no_name(serve: Serve, tmp_path: Path, name: str) -> None:
    code = "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'found']\n"
    (tmp_path / name).write_text(code)
    server = serve()
    with server.connect() as connection:
        assert connection.request(GET).body == b"found"
    assert f"app={name[:-3]}:app" in server.log


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_arbiter_stays_small_and_without_the_core(serve: Serve) -> None:
    server = serve(serve.source(MODULES))
    [worker] = server.children()

    def is_mapped(pid: int) -> bool:
        return "_native" in Path(f"/proc/{pid}/maps").read_text()

    assert is_mapped(worker)
    assert not is_mapped(server.pid)
    with server.connect() as connection:
        loaded = set(connection.request(GET).body.decode().split())
    # A worker has what the arbiter had when it was forked, and threads.
    assert loaded & HEAVY <= {"threading"}
    assert "hostler._native" not in loaded


def test_nothing_is_written_unless_asked(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    serve.source(HELLO)
    (tmp_path / "app.py").rename(tmp_path / "run" / "app.py")
    env = {"TMPDIR": str(tmp_path / "run"), "HOME": str(tmp_path / "run"), "PYTHONDONTWRITEBYTECODE": "1"}
    server = serve("app", cwd=tmp_path / "run", env=env)
    with server.connect() as connection:
        assert connection.request(GET).status == 200
    assert os.listdir(tmp_path / "run") == ["app.py"]
    assert server.stop() == 0
    assert os.listdir(tmp_path / "run") == ["app.py"]
