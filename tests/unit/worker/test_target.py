"""APP, read from its text."""

from __future__ import annotations

import pytest

from hostler.errors import AppLoadError
from hostler.worker.target import Call, Target


@pytest.mark.parametrize(
    ("text", "module", "is_file", "attributes", "call"),
    [
        ("app", "app", False, (), None),
        ("shop.wsgi", "shop.wsgi", False, (), None),
        (" shop.wsgi:application ", "shop.wsgi", False, ("application",), None),
        ("shop:site.wsgi", "shop", False, ("site", "wsgi"), None),
        ("shop:create_app()", "shop", False, ("create_app",), Call((), {})),
        ("shop:make.app('x', n=-1)", "shop", False, ("make", "app"), Call(("x",), {"n": -1})),
        ("shop:f(['a:b'], {'k': None})", "shop", False, ("f",), Call((["a:b"], {"k": None}), {})),
        ("app.py", "app.py", True, (), None),
        ("path/to/site.py:app", "path/to/site.py", True, ("app",), None),
        ("/srv/site.py:make(debug=True)", "/srv/site.py", True, ("make",), Call((), {"debug": True})),
    ],
)
def test_reads(text: str, module: str, is_file: bool, attributes: tuple[str, ...], call: Call | None) -> None:
    assert Target.parse(text) == Target(text, module, is_file, attributes, call)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (":app", "write module:attribute"),
        ("shop:", "write module:attribute"),
        ("", "write module:attribute"),
        ("shop-site:app", '"shop-site" is not the name of a module'),
        ("shop..wsgi", '"shop..wsgi" is not the name of a module'),
        ("shop:f(", '"f(" is neither an attribute nor a call'),
        ("shop:a+b", '"a+b" is neither an attribute nor a call'),
        ("shop:f()()", '"f()()" is neither an attribute nor a call'),
        ("shop:apps[0]", "is neither an attribute nor a call"),
        ("shop:f(x)", "a factory takes literal arguments only"),
        ("shop:f(n=open('/etc/passwd'))", "a factory takes literal arguments only"),
        ("shop:f(**{'a': 1})", "a factory takes literal arguments only"),
        ("shop:f(*[1])", "a factory takes literal arguments only"),
    ],
)
def test_refuses(text: str, problem: str) -> None:
    with pytest.raises(AppLoadError) as caught:
        Target.parse(text)
    assert caught.value.message.startswith(f'cannot load "{text}": ')
    assert problem in caught.value.message
