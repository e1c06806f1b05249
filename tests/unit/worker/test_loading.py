"""Importing the app: what is found, and what each way to fail says."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hostler.config.mounts import Mount
from hostler.errors import AppLoadError
from hostler.worker import loading
from hostler.worker.interfaces import Mounted

Write = Callable[..., None]

APP = """
    def application(environ, start_response):
        return [b"it"]
"""


def load_all(*texts: str, interface: str = "auto") -> list[Mounted]:
    return loading.load_all([Mount.parse(text) for text in texts], interface)


def load(text: str | None) -> Any:
    return load_all(*([text] if text else []))[0].app


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes modules into a folder that is first on the path; what was imported is forgotten."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "")  # so that it is taken away again, whatever sets it
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE")
    before = set(sys.modules)

    def write(path: str, text: str = APP) -> None:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text))

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


def fails(text: str | None) -> AppLoadError:
    with pytest.raises(AppLoadError) as caught:
        load(text)
    return caught.value


# --- Found ---


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("site_a", "application = app = lambda e, s: ['application']"),
        ("site_b", "app = lambda e, s: ['app']"),
        ("site_c:wsgi", "wsgi = lambda e, s: ['wsgi']"),
        ("site_d:box.wsgi", "class box:\n    wsgi = staticmethod(lambda e, s: ['box'])"),
        ("site_e:make()", "def make(): return lambda e, s: ['made']"),
        ("site_f:make('a', n=2)", "def make(x, n): return lambda e, s: [x * n]"),
        ("site_g:App()", "class App:\n    def __call__(self, e, s): return ['object']"),
        ("site_h:App", "class App:\n    def __init__(self, e, s): pass\n    def __iter__(self): yield 'class'"),
        ("site_i:app", "def wrap(*args): return ['wrapped']\napp = wrap"),
    ],
)
def test_loads(write: Write, text: str, code: str) -> None:
    write(f"{text.partition(':')[0]}.py", code)
    app: Any = load(text)
    words = {"application", "app", "wsgi", "box", "made", "aa", "object", "class", "wrapped"}
    assert set(app({}, None)) <= words


def test_module_in_a_package(write: Write) -> None:
    write("shop_a/__init__.py", "")
    write("shop_a/wsgi.py")
    assert load("shop_a.wsgi").__module__ == "shop_a.wsgi"


def test_file_is_imported_by_its_path_with_its_neighbours(write: Write, tmp_path: Path) -> None:
    write("deep/folder/main_a.py", "import neighbour_a\napp = neighbour_a.app")
    write("deep/folder/neighbour_a.py", "def app(environ, start_response): pass")
    assert load("deep/folder/main_a.py:app").__module__ == "neighbour_a"
    assert sys.modules["main_a"].__file__ == str(tmp_path / "deep/folder/main_a.py")


def test_file_does_not_replace_a_module_of_the_same_name(write: Write) -> None:
    import site

    write("site.py", APP)
    assert load("./site.py").__module__ == "app_site"
    assert sys.modules["site"] is site


# --- Not found ---


def test_module_that_is_not_there(write: Write, tmp_path: Path) -> None:
    error = fails("nowhere:app")
    assert error.message == (
        f'cannot load "nowhere:app": no module named "nowhere" in {tmp_path} or elsewhere on sys.path'
    )
    assert error.detail == ""


def test_module_that_is_not_in_its_package(write: Write) -> None:
    write("shop_b/__init__.py", "")
    assert 'no module named "shop_b.wsgi"' in fails("shop_b.wsgi:app").message


def test_module_that_imports_what_is_not_there(write: Write, tmp_path: Path) -> None:
    write("shop_c.py", "import requests_of_mars")
    error = fails("shop_c:app")
    assert error.message == (
        "cannot load \"shop_c:app\": shop_c raised ModuleNotFoundError: No module named 'requests_of_mars'"
    )
    assert error.detail == textwrap.dedent(f"""\
        Traceback (most recent call last):
          File "{tmp_path}/shop_c.py", line 1, in <module>
            import requests_of_mars
        ModuleNotFoundError: No module named 'requests_of_mars'
        Install requests_of_mars for {sys.executable}, or start hostler with the Python that has it.""")


def test_package_whose_init_imports_what_is_not_there(write: Write) -> None:
    """The missing module may even be a part of the package: its own code ran, so it is not us who look for it."""
    write("shop_d/__init__.py", "import shop_d.settings")
    error = fails("shop_d.settings:app")
    assert "shop_d.settings raised ModuleNotFoundError" in error.message
    assert "__init__.py" in error.detail


def test_missing_attribute_lists_what_could_be_meant(write: Write) -> None:
    write(
        "shop_e.py",
        """
        from os.path import join
        from wsgiref.simple_server import demo_app
        import os
        CONSTANT = 1
        class Thing: pass
        def _private(): pass
        def application(environ, start_response): pass
        site = Thing.__call__
        """,
    )
    assert fails("shop_e:app").message == (
        'cannot load "shop_e:app": module "shop_e" has no attribute "app"; it has: application, site'
    )
    assert 'object has no attribute "nothing"' in fails("shop_e:application.nothing").message


def test_module_without_a_usual_name(write: Write) -> None:
    write("shop_f.py", "x = 1")
    assert fails("shop_f").message == ('cannot load "shop_f": module "shop_f" has no attribute "application" or "app"')


def test_missing_file(write: Write, tmp_path: Path) -> None:
    assert fails("no/site.py:app").message == (
        f'cannot load "no/site.py:app": there is no Python file {tmp_path}/no/site.py'
    )


# --- Raised ---


def test_traceback_begins_at_the_app(write: Write) -> None:
    write("shop_g.py", "import shop_h")
    write("shop_h.py", "def deep():\n    raise ValueError('no\\ndatabase')\ndeep()")
    error = fails("shop_g")
    assert error.message == 'cannot load "shop_g": shop_g raised ValueError: no'
    assert error.detail.startswith('Traceback (most recent call last):\n  File "')
    assert error.detail.splitlines()[1].endswith('shop_g.py", line 1, in <module>')
    assert "hostler/worker" not in error.detail
    assert "importlib" not in error.detail
    assert "application's own" in error.detail.splitlines()[-1]


def test_syntax_error_shows_its_place(write: Write) -> None:
    write("shop_i.py", "x = 1\ndef f(:\n")
    error = fails("shop_i")
    assert "shop_i raised SyntaxError" in error.message
    assert 'shop_i.py", line 2' in error.detail


def test_exit_while_importing(write: Write) -> None:
    write("shop_j.py", "import sys\nsys.exit('no settings')")
    error = fails("shop_j")
    assert error.message == 'cannot load "shop_j": shop_j raised SystemExit: no settings'
    assert "called sys.exit()" in error.detail


def test_factory_that_raises(write: Write) -> None:
    write("shop_k.py", "def make(): raise RuntimeError")
    error = fails("shop_k:make()")
    assert error.message == 'cannot load "shop_k:make()": make() raised RuntimeError'
    assert "in make" in error.detail


# --- Not an app ---


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("app = {}", "dict object is not callable"),
        ("def app(): pass", "is it a factory? Then write shop_l:app()"),
        ("def app(config=None): pass", "is it a factory? Then write shop_l:app()"),
    ],
)
def test_what_is_no_app(write: Write, code: str, problem: str) -> None:
    write("shop_l.py", code)
    error = fails("shop_l:app")
    assert error.message.startswith('cannot load "shop_l:app": ')
    assert problem in error.message


# --- WSGI or ASGI ---


@pytest.mark.parametrize(
    ("code", "asgi"),
    [
        ("def app(environ, start_response): pass", False),
        ("def app(*args): pass", False),
        ("async def app(scope, receive, send): pass", True),
        ("def app(scope, receive, send): return other(scope, receive, send)", True),
        ("class A:\n    async def __call__(self, scope, receive, send): pass\napp = A()", True),
        ("class A:\n    async def run(self, scope, receive, send): pass\napp = A().run", True),
        ("import functools\nasync def f(x, scope, receive, send): pass\napp = functools.partial(f, 1)", True),
        ("class A:\n    def __call__(self, environ, start_response): pass\napp = A()", False),
        ("class app:\n    def __init__(self, environ, start_response): pass", False),
        # ASGI 2
        ("class app:\n    def __init__(self, scope): pass\n    async def __call__(self, receive, send): pass", True),
        ("class app:\n    def __init__(self, s): pass\n    async def __call__(self, receive, send): pass", True),
        ("def app(scope):\n    async def run(receive, send): pass\n    return run", True),
        ("class A:\n    def __call__(self, scope): pass\napp = A()", True),
        ("class A:\n    def run(self, scope): pass\napp = A().run", True),
        ("import functools\ndef f(x, scope): pass\napp = functools.partial(f, x=1)", False),
    ],
)
def test_what_an_app_is_shows_without_calling_it(write: Write, code: str, asgi: bool) -> None:
    write("shop_n.py", code)
    assert load_all("shop_n:app")[0].is_asgi is asgi
    assert load_all("shop_n:app", interface="asgi")[0].is_asgi
    del sys.modules["shop_n"]


def test_the_longest_path_comes_first(write: Write) -> None:
    write("shop_o.py", "def wsgi(e, s): ...\nasync def asgi(scope, receive, send): ...")
    apps = load_all("shop_o:wsgi", "shop_o:asgi@/api/v1", "shop_o:asgi=websocket", "shop_o:asgi@/api")
    assert [(each.path, each.is_asgi, each.takes) for each in apps] == [
        ("/api/v1", True, (True, True)),
        ("/api", True, (True, True)),
        ("", False, (True, False)),
        ("", True, (False, True)),
    ]


def test_wsgi_takes_no_websockets(write: Write) -> None:
    write("shop_p.py", "def app(e, s): ...")
    with pytest.raises(AppLoadError, match='takes no "websocket"'):
        load_all("shop_p:app=websocket")


# --- Django ---


def test_settings_of_wsgi_py_win_over_those_of_manage_py(write: Write) -> None:
    write("manage.py", 'import os\nos.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop_x.settings.dev")')
    write("shop_x/settings/dev.py", "raise SystemExit('these are a developer\\'s')")
    setting = 'import os\nos.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop_x.settings.production")\n'
    write("shop_x/wsgi.py", setting + textwrap.dedent(APP))
    [mounted] = load_all()
    assert mounted.name == "shop_x.wsgi:application"
    assert os.environ["DJANGO_SETTINGS_MODULE"] == "shop_x.settings.production"


def test_settings_of_wsgi_py_at_an_unusual_place_win_over_those_of_manage_py(write: Write) -> None:
    write("manage.py", 'import os\nos.environ.setdefault("DJANGO_SETTINGS_MODULE", "conf_y.dev")')
    write("conf_y/dev.py", 'WSGI_APPLICATION = "deep_y.entry.serve.application"')
    setting = 'import os\nos.environ.setdefault("DJANGO_SETTINGS_MODULE", "conf_y.production")\n'
    write("deep_y/entry/serve.py", setting + textwrap.dedent(APP))
    [mounted] = load_all()
    assert mounted.name == "deep_y.entry.serve:application"
    assert os.environ["DJANGO_SETTINGS_MODULE"] == "conf_y.production"


def test_application_of_the_directory_is_found_without_django(write: Write) -> None:
    write("main.py", APP)
    [mounted] = load_all()
    assert mounted.name == "main:application"


def test_django_project(write: Write) -> None:
    write("manage.py", 'import os\nos.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop_m.settings")')
    write("shop_m/__init__.py", "")
    write("shop_m/settings.py", 'WSGI_APPLICATION = "shop_m.wsgi.application"')
    write("shop_m/wsgi.py", "import os\nassert 'DJANGO_SETTINGS_MODULE' not in os.environ\n" + textwrap.dedent(APP))
    assert load(None).__module__ == "shop_m.wsgi"
    assert os.environ["DJANGO_SETTINGS_MODULE"] == "shop_m.settings"  # for what it imports later


def test_django_project_without_wsgi_application(write: Write) -> None:
    write("manage.py", 'import os\nos.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop_n")')
    write("shop_n.py", "")
    write("django/__init__.py", "")
    write("django/core/__init__.py", "")
    write("django/core/wsgi.py", "def get_wsgi_application(): return lambda e, s: ['django']")
    before = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == "django"}
    try:
        app: Any = load(None)
        assert app({}, None) == ["django"]
    finally:
        sys.modules.update(before)


def test_django_settings_that_raise(write: Write) -> None:
    write("manage.py", 'import os\nos.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop_o")')
    write("shop_o.py", "SECRET_KEY = open('/no/such/secret').read()")
    assert 'cannot load "shop_o": shop_o raised FileNotFoundError' in fails(None).message
