"""gunicorn's worker classes, and those that others have written for it: what runs in their place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from hostler.cli.gunicorn.ancestry import Ancestry, ancestry_of, options_of
from hostler.errors import ConfigError

__all__ = ["CLASSES", "WorkerClass", "find"]

SERIAL, THREADS, GREENLETS, LOOP, OWN = "serial", "threads", "greenlets", "loop", "own"


class WorkerClass(NamedTuple):
    """What a class becomes."""

    kind: str
    about: str  # for docs/migrate/gunicorn.md
    notice: str = ""  # told when it is chosen, where something differs
    loop: str = ""  # the event loop that the class insists on
    is_eventlet: bool = False
    is_websocket: bool = False  # gives applications the WebSockets of gevent-websocket
    options: Mapping[str, object] = {}  # of hostler, which a subclass sets by its CONFIG_KWARGS


_SYNC = WorkerClass(SERIAL, "one thread, the main one, one request after the other; connections are kept all the same")
_GTHREAD = WorkerClass(THREADS, "as many threads as `threads` says")
_GEVENT = WorkerClass(GREENLETS, "greenlets, by the gevent driver (install hostler[gevent])")
_ASGI = WorkerClass(LOOP, "ASGI, on uvloop where that is installed")
_EVENTLET = WorkerClass(
    GREENLETS,
    "the gevent driver, with a notice; an application that imports eventlet is refused",
    "eventlet is not maintained any more: gevent's greenlets run it",
    is_eventlet=True,
)
_MEINHELD = WorkerClass(
    OWN, "hostler's own threads, with a notice", "meinheld is not maintained any more: hostler's own threads run it"
)
_WEBSOCKET = WorkerClass(
    GREENLETS, "greenlets, and `wsgi.websocket` of gevent-websocket, where that is installed", is_websocket=True
)
_SANIC = WorkerClass(LOOP, "ASGI, with a notice", "Sanic runs as an ASGI application")

CLASSES: dict[str, WorkerClass] = {
    "sync": _SYNC,
    "gthread": _GTHREAD,
    "gevent": _GEVENT,
    "gevent_wsgi": _GEVENT,
    "gevent_pywsgi": _GEVENT,
    "eventlet": _EVENTLET,
    "asgi": _ASGI,
    "gunicorn.workers.sync.SyncWorker": _SYNC,
    "gunicorn.workers.gthread.ThreadWorker": _GTHREAD,
    "gunicorn.workers.ggevent.GeventWorker": _GEVENT,
    "gunicorn.workers.ggevent.GeventPyWSGIWorker": _GEVENT,
    "gunicorn.workers.geventlet.EventletWorker": _EVENTLET,
    "gunicorn.workers.gasgi.ASGIWorker": _ASGI,
    "uvicorn.workers.UvicornWorker": _ASGI,
    "uvicorn.workers.UvicornH11Worker": _ASGI._replace(about="ASGI, on asyncio's own loop", loop="asyncio"),
    "uvicorn_worker.UvicornWorker": _ASGI,
    "uvicorn_worker.UvicornH11Worker": _ASGI._replace(about="ASGI, on asyncio's own loop", loop="asyncio"),
    "egg:meinheld#gunicorn_worker": _MEINHELD,
    "meinheld.gmeinheld.MeinheldWorker": _MEINHELD,
    "geventwebsocket.gunicorn.workers.GeventWebSocketWorker": _WEBSOCKET,
    "sanic.worker.GunicornWorker": _SANIC,
    "hostler.integrations.gunicorn.Worker": WorkerClass(OWN, "hostler's own threads, or ASGI"),
}
_TORNADO = "Tornado applications are neither WSGI nor ASGI: run them by themselves, behind the same proxy"
_AIOHTTP = "aiohttp applications are neither WSGI nor ASGI: run them by themselves (web.run_app)"
REFUSED = {
    "tornado": _TORNADO,
    "gunicorn.workers.gtornado.TornadoWorker": _TORNADO,
    "aiohttp.GunicornWebWorker": _AIOHTTP,
    "aiohttp.GunicornUVLoopWebWorker": _AIOHTTP,
    "aiohttp.worker.GunicornWebWorker": _AIOHTTP,
    "aiohttp.worker.GunicornUVLoopWebWorker": _AIOHTTP,
}


def find(value: object, label: str, folders: Sequence[str] = ()) -> WorkerClass:
    """What runs in a class's place; ConfigError for one whose applications cannot be served.

    `folders`: where modules are looked for, beside Python's path, when the class is one of the operator's own.
    """
    name = f"{value.__module__}.{value.__qualname__}" if isinstance(value, type) else str(value)
    name = name.removeprefix("egg:gunicorn#").strip()
    if name in REFUSED:
        raise ConfigError(f"{label} {name}: {REFUSED[name]}")
    if name in CLASSES:
        return CLASSES[name]
    if "." not in name and ":" not in name:
        raise ConfigError(f'{label}: gunicorn has no worker class "{name}"; there are sync, gthread, gevent, asgi')
    ancestry = ancestry_of(value if isinstance(value, type) else name, folders)
    for base in ancestry.bases:
        if base in REFUSED:
            raise ConfigError(f"{label} {name}: {REFUSED[base]}")
        if base in CLASSES:
            return _extended(CLASSES[base], name, base, ancestry)
    why = f" ({ancestry.problem})" if ancestry.problem else ""
    return WorkerClass(OWN, "", f"{name}: its own code does not run here{why}; the application is served all the same")


def _extended(known: WorkerClass, name: str, base: str, ancestry: Ancestry) -> WorkerClass:
    """A subclass: what its base becomes, with the settings that it has for uvicorn."""
    options, unknown = options_of(ancestry.kwargs)
    lost = f"; nor do these of its CONFIG_KWARGS: {', '.join(unknown)}" if unknown else ""
    changed = f"{name}: methods that it changes in {base.rpartition('.')[2]} do not run here{lost}"
    return known._replace(notice=changed, options=options)
