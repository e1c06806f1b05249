"""Target: what APP names, read from its text without importing anything.

shop.wsgi                    module; its `application` or `app`
shop.wsgi:application        module and attribute
shop.wsgi:site.wsgi          ... of an attribute
shop:create_app()            a factory, called once
shop:create_app("x", n=1)    ... with literal arguments
path/to/site.py:app          a file, by its path
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from hostler.errors import AppLoadError

__all__ = ["USUAL", "Call", "Target"]

USUAL = ("application", "app")  # what the object is called, where APP names a module only


class Call(NamedTuple):
    """The arguments of a factory."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class Target(NamedTuple):
    """Where the app is."""

    text: str  # as it was written
    module: str  # dotted name, or the path of a file
    is_file: bool
    attributes: tuple[str, ...]  # empty: `application` or `app`
    call: Call | None = None

    @classmethod
    def parse(cls, text: str) -> Target:
        """Read APP; AppLoadError when it is none."""
        module, colon, expression = text.strip().partition(":")
        is_file = module.endswith(".py") or os.sep in module
        if not module or (colon and not expression):
            raise _complaint(text, "write module:attribute, module:factory() or path/file.py:attribute")
        if not is_file and not all(part.isidentifier() for part in module.split(".")):
            raise _complaint(text, f'"{module}" is not the name of a module')
        if not expression:
            return cls(text, module, is_file, ())
        attributes, call = _read(text, expression)
        return cls(text, module, is_file, attributes, call)


def _read(text: str, expression: str) -> tuple[tuple[str, ...], Call | None]:
    names = expression.split(".")
    if all(name.isidentifier() for name in names):
        return tuple(names), None
    import ast  # only for factories

    try:
        node = ast.parse(expression, mode="eval").body
    except (SyntaxError, ValueError):
        raise _complaint(text, f'"{expression}" is neither an attribute nor a call') from None
    if not isinstance(node, ast.Call):
        raise _complaint(text, f'"{expression}" is neither an attribute nor a call')
    try:
        args = tuple(ast.literal_eval(argument) for argument in node.args)
        kwargs = {str(word.arg): ast.literal_eval(word.value) for word in node.keywords if word.arg}
    except ValueError:
        raise _complaint(text, "a factory takes literal arguments only") from None
    if len(kwargs) != len(node.keywords):
        raise _complaint(text, "a factory takes literal arguments only")
    path = ast.unparse(node.func).split(".")
    if not all(name.isidentifier() for name in path):
        raise _complaint(text, f'"{expression}" is neither an attribute nor a call')
    return tuple(path), Call(args, kwargs)


def _complaint(text: str, problem: str) -> AppLoadError:
    return AppLoadError(f'cannot load "{text}": {problem}')
