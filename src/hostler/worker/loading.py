"""Importing the app. Every way to fail is one line that says what is wrong, and the app's own traceback if any."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from types import FunctionType, ModuleType, TracebackType
from typing import Any

from hostler.config.mounts import Mount
from hostler.errors import AppLoadError
from hostler.worker.interfaces import Mounted, is_asgi, is_asgi2, single_callable
from hostler.worker.target import USUAL, Target

__all__ = ["extend_path", "load_all", "mount"]

_DJANGO = "DJANGO_SETTINGS_MODULE"
_CO_VARARGS = 0x04  # flag of code objects; `inspect` names it, and is large
_LISTED = 6  # names in a hint
# Frames of importing that say nothing about the app.
_PLUMBING = (os.path.dirname(os.path.dirname(__file__)) + os.sep, os.path.dirname(importlib.__file__) + os.sep)


def extend_path(folders: Sequence[str], as_gunicorn: bool = False) -> None:
    """Put the current directory, and after it `folders`, in front of Python's module path.

    gunicorn has the folders before the directory, the last one first.
    """
    added = list(map(os.path.abspath, folders))
    sys.path[:0] = [*reversed(added), os.getcwd()] if as_gunicorn else [os.getcwd(), *added]


def load_all(mounts: Sequence[Mount], interface: str) -> list[Mounted]:
    """The apps that APP names, the longest path first; without a name, the one that is found in this directory."""
    if not mounts:
        return [_load_found(interface)]
    loaded = [mount(_load(each.target), each.target, interface, each) for each in mounts]
    return sorted(loaded, key=lambda each: -len(each.path))


def mount(app: Any, text: str, interface: str = "auto", where: Mount | None = None) -> Mounted:
    """What is called for each request, and how. Refuses what cannot be an app, and says what it seems to be."""
    where = where or Mount(text)
    if not callable(app):
        raise AppLoadError(f'cannot load "{text}": {type(app).__name__} object is not callable')
    if interface == "asgi2" or (interface != "wsgi" and is_asgi2(app)):
        return Mounted(single_callable(app), True, where.path, where.protocols, str(where))
    asgi = interface == "asgi" or (interface == "auto" and is_asgi(app))
    if not asgi and "websocket" in where.protocols:
        raise AppLoadError(f'cannot load "{text}": it is a WSGI application, which takes no "websocket" protocol')
    if not asgi and _is_factory(app):
        call = f"{text}()" if ":" in text else f"{text}:{app.__name__}()"
        raise AppLoadError(
            f'cannot load "{text}": it takes no environ and start_response; is it a factory? Then write {call}'
        )
    return Mounted(app, asgi, where.path, where.protocols, str(where))


def _load(text: str) -> Any:
    target = Target.parse(text)
    found = _resolve(target, _import(target))
    call = target.call
    if call is None:
        return found
    return _run(f"{target.attributes[-1]}() raised", target.text, lambda: found(*call.args, **call.kwargs))


def _load_found(interface: str) -> Mounted:
    from hostler.worker.discovery import find  # needs `ast`

    found = find(interface)
    if found.target is not None:
        app, name = _load(found.target), found.target
    else:
        app, name = _load_django(str(found.settings))
    if found.settings is not None:
        os.environ.setdefault(_DJANGO, found.settings)  # for what the application imports later
    return mount(app, name, interface)


def _load_django(settings: str) -> tuple[Any, str]:
    """A project without wsgi.py at a usual place. WSGI_APPLICATION is asked of `settings`, which need not be those of
    the server: what it names is imported first, and may set others."""
    module = _import(Target(settings, settings, False, ()))
    path, _, attribute = str(getattr(module, "WSGI_APPLICATION", None) or "").rpartition(".")
    if path:
        name = f"{path}:{attribute}"
        return _load(name), name
    os.environ.setdefault(_DJANGO, settings)
    return _load("django.core.wsgi:get_wsgi_application()"), "django.core.wsgi:get_wsgi_application()"


def _import(target: Target) -> ModuleType:
    if target.is_file:
        return _import_file(target)
    name = target.module
    try:
        module: ModuleType = _run(f"{name} raised", target.text, lambda: importlib.import_module(name))
    except AppLoadError as error:
        if not _is_absent(name, error.__cause__):
            raise
        missing = getattr(error.__cause__, "name", name)
        raise AppLoadError(
            f'cannot load "{target.text}": no module named "{missing}" in {os.getcwd()} or elsewhere on sys.path'
        ) from None
    return module


def _is_absent(name: str, cause: BaseException | None) -> bool:
    """Whether the module (or a package on the way) is not there, as opposed to one that it imports."""
    if not isinstance(cause, ModuleNotFoundError) or cause.name is None:
        return False
    return cause.__traceback__ is None and f"{name}.".startswith(f"{cause.name}.")


def _import_file(target: Target) -> ModuleType:
    """Import a file under its own name, with its folder in front of the path, as `python file.py` would."""
    from importlib.util import module_from_spec, spec_from_file_location

    path = os.path.abspath(target.module)
    name = os.path.splitext(os.path.basename(path))[0]
    name = f"app_{name}" if name in sys.modules else name  # site.py must not replace the one of Python
    spec = spec_from_file_location(name, path)
    if not os.path.isfile(path) or spec is None or spec.loader is None:
        raise AppLoadError(f'cannot load "{target.text}": there is no Python file {path}')
    sys.path.insert(0, os.path.dirname(path))
    module = sys.modules[name] = module_from_spec(spec)
    loader = spec.loader
    _run(f"{target.module} raised", target.text, lambda: loader.exec_module(module))
    return module


def _resolve(target: Target, module: ModuleType) -> Any:
    if not target.attributes:
        for name in USUAL:
            if hasattr(module, name):
                return getattr(module, name)
        raise AppLoadError(_no_attribute(target, module, '"application" or "app"'))
    found: Any = module
    for name in target.attributes:
        if not hasattr(found, name):
            raise AppLoadError(_no_attribute(target, found, f'"{name}"'))
        found = getattr(found, name)
    return found


def _run(verb: str, text: str, code: Callable[[], Any]) -> Any:
    """Run code of the app; whatever it raises is an AppLoadError with its traceback."""
    try:
        return code()
    except AppLoadError:
        raise
    except BaseException as error:  # also SystemExit: a settings file may call sys.exit()
        import traceback

        error.__traceback__ = _without_plumbing(error.__traceback__)
        trace = "".join(traceback.format_exception(error))
        said = str(error).partition("\n")[0]
        what = f"{type(error).__name__}: {said}" if said else type(error).__name__
        detail = f"{trace}{_advice(error)}"
        raise AppLoadError(f'cannot load "{text}": {verb} {what}', detail) from error


def _advice(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"Install {error.name} for {sys.executable}, or start hostler with the Python that has it."
    if isinstance(error, SystemExit):
        return "It called sys.exit() while it was imported; a server cannot start with that."
    return "The error is the application's own: correct it there, then start again."


def _without_plumbing(frames: TracebackType | None) -> TracebackType | None:
    """The traceback from the app's first frame on; none, if no code of the app ran."""
    while frames is not None and _is_plumbing(frames):
        frames = frames.tb_next
    return frames


def _is_plumbing(frame: TracebackType) -> bool:
    name = frame.tb_frame.f_code.co_filename
    return name.startswith(("<frozen importlib", *_PLUMBING))


def _no_attribute(target: Target, owner: Any, name: str) -> str:
    if not isinstance(owner, ModuleType):
        return f'cannot load "{target.text}": {type(owner).__name__} object has no attribute {name}'
    candidates = [key for key, value in vars(owner).items() if _is_candidate(key, value, owner)]
    listed = f"; it has: {', '.join(candidates[:_LISTED])}" if candidates else ""
    return f'cannot load "{target.text}": module "{owner.__name__}" has no attribute {name}{listed}'


def _is_candidate(name: str, value: Any, module: ModuleType) -> bool:
    """Whether it could be meant: something callable that was made here, not imported."""
    if name.startswith("_") or not callable(value) or isinstance(value, type):
        return False
    return not isinstance(value, FunctionType) or value.__module__ == module.__name__


def _is_factory(app: Any) -> bool:
    if not isinstance(app, FunctionType):
        return False
    return app.__code__.co_argcount < 2 and not app.__code__.co_flags & _CO_VARARGS
