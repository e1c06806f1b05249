"""The application of the current directory, where APP is not given. No code of it runs to find it.

A Django project first: manage.py (or DJANGO_SETTINGS_MODULE) says that there is one and where. Its wsgi.py, or else its
asgi.py, is what is served, and says which settings it wants: manage.py's are often those of a developer. Without
Django, wsgi.py, asgi.py, app.py or main.py, where one sets `application` or `app`.
"""

from __future__ import annotations

import ast  # only where no app is named
import os
import sys
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from hostler.errors import AppLoadError
from hostler.worker.target import USUAL

__all__ = ["Found", "find"]

_VARIABLE = "DJANGO_SETTINGS_MODULE"
_FILES = ("wsgi", "asgi", "app", "main")  # those that are made for servers first


class Found(NamedTuple):
    """What is to be served."""

    target: str | None  # as APP would be; None: a Django project without wsgi.py and asgi.py
    settings: str | None = None  # Django's, where nothing that is imported names others


def find(interface: str = "auto") -> Found:
    """The application of the current directory; AppLoadError when there is none. `interface` asgi: asgi.py first."""
    kinds = ("asgi", "wsgi") if interface.startswith("asgi") else ("wsgi", "asgi")
    settings = os.environ.get(_VARIABLE) or _from_manage("manage.py")
    if settings:
        return Found(_entry_point(settings, kinds), settings)
    for name in dict.fromkeys((*kinds, *_FILES)):
        attribute = _attribute(f"{name}.py")
        if attribute is not None:
            return Found(f"{name}:{attribute}")
    raise AppLoadError(
        f"no app was named, and {os.getcwd()} has neither a Django project nor one of wsgi.py, asgi.py, app.py and "
        "main.py that sets `application` or `app`: say which, for example: hostler serve shop.wsgi:application"
    )


def _entry_point(settings: str, kinds: Iterable[str]) -> str | None:
    """The module of a Django project that servers import: beside its settings, above them, or in the one package."""
    package = settings.split(".")[:-1]
    above = [".".join(package[:depth]) for depth in range(len(package), -1, -1)]
    neighbours = sorted({entry.name for entry in os.scandir(".") if entry.name.isidentifier() and entry.is_dir()})
    for kind in kinds:
        for parent in above:
            name = f"{parent}.{kind}" if parent else kind
            attribute = _attribute_on_path(name)
            if attribute is not None:
                return f"{name}:{attribute}"
        others = [
            f"{each}.{kind}:{found}" for each in neighbours if (found := _guess(os.path.join(each, f"{kind}.py")))
        ]
        if len(others) == 1:
            return others[0]
    return None


def _attribute_on_path(module: str) -> str | None:
    path = f"{module.replace('.', os.sep)}.py"
    roots = [".", *sys.path] if "." in module else ["."]
    return next((found for root in roots if (found := _attribute(os.path.join(root, path)))), None)


def _guess(path: str) -> str | None:
    """The same for a file that may have nothing to do with the project."""
    try:
        return _attribute(path)
    except AppLoadError:
        return None


def _from_manage(path: str) -> str | None:
    """The default in `os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")`."""
    for node in ast.walk(_parse(path) or ast.Module([], [])):
        match node:
            case ast.Call(
                func=ast.Attribute(attr="setdefault"),
                args=[ast.Constant(value="DJANGO_SETTINGS_MODULE"), ast.Constant(value=str(name))],
            ):
                return name
            case ast.Assign(
                targets=[ast.Subscript(slice=ast.Constant(value="DJANGO_SETTINGS_MODULE"))],
                value=ast.Constant(value=str(name)),
            ):
                return name
    return None


def _attribute(path: str) -> str | None:
    """`application` or `app`, whichever the file sets at its top level."""
    tree = _parse(path)
    names = set(_names(tree.body)) if tree is not None else set()
    return next((name for name in USUAL if name in names), None)


def _names(body: Iterable[ast.AST]) -> Iterator[str]:
    """What these statements set: assigned, imported, or defined; in branches and `with` blocks too."""
    for node in body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                yield from (alias.asname or alias.name for alias in aliases)
            case ast.Assign(targets=targets):
                yield from (each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.AST()):
                yield name
            case ast.If() | ast.Try() | ast.With() | ast.ExceptHandler():
                yield from _names(ast.iter_child_nodes(node))


def _parse(path: str) -> ast.Module | None:
    """The file's code; None when there is no such file."""
    try:
        with open(path, "rb") as file:
            return ast.parse(file.read(), path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, SyntaxError, ValueError) as error:
        raise AppLoadError(f"cannot read {path}: {error}") from None
