"""The Django project of the current directory, for those who name no app. Nothing of it is executed to find it."""

from __future__ import annotations

import os

from hostler.errors import AppLoadError

__all__ = ["find_settings"]

_VARIABLE = "DJANGO_SETTINGS_MODULE"


def find_settings() -> str:
    """The settings module: what the environment says, or else what manage.py would set."""
    chosen = os.environ.get(_VARIABLE) or _from_manage("manage.py")
    if chosen:
        return chosen
    raise AppLoadError(
        "no app was named, and there is no Django project here: say which, "
        "for example: hostler serve shop.wsgi:application"
    )


def _from_manage(path: str) -> str | None:
    """The default in `os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")`."""
    import ast  # only where no app is named

    try:
        with open(path, "rb") as file:
            tree = ast.parse(file.read(), path)
    except FileNotFoundError:
        return None
    except (OSError, SyntaxError, ValueError) as error:
        raise AppLoadError(f"cannot read {path}: {error}") from None
    for node in ast.walk(tree):
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
