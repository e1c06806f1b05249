"""An application server for Python web applications.

hostler serve shop.wsgi                      from a shell, WSGI or ASGI
hostler.serve(app, bind="127.0.0.1:8000")    from a script
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["__version__", "run", "serve"]

__version__ = "0.1.0"  # Cargo.toml's, held equal by a test: reading it from there would cost every process


def serve(
    app: Callable[..., Any] | str | None = None,
    host: str | None = None,
    port: int | None = None,
    **options: Any,
) -> int:
    """Serve `app` until a signal ends it; returns the exit code.

    `app` is a WSGI or ASGI callable, or text as for `hostler serve`. `host` (127.0.0.1 by default) and `port` (8000 by
    default; 0: the kernel chooses) are one address; `bind` takes several, of all forms. The options are those of the
    command line, with underscores: `serve(app, port=5000, workers=2)`. Only the main thread can call it. Raises
    `hostler.errors.HostlerError` when an option is wrong, when `bind` is given with `host` or `port`, or when an
    address is taken.
    """
    from hostler.config import from_keywords, load
    from hostler.launcher import run

    if isinstance(app, str):
        options["app"] = app
    given = from_keywords(options, host, port)
    if app is None or isinstance(app, str):
        return run(load(given), reread=lambda: load(given))
    return run(load(given), app)  # a callable cannot be imported again: no reload


def run(
    app: Callable[..., Any], host: str, port: int | None = None, *, reuse_port: bool = False, **options: Any
) -> int:
    """`serve` with bjoern's arguments: `run(app, "0.0.0.0", 8000)`, `run(app, "unix:/run/app.sock")`."""
    return serve(app, host, port, reuse_port=reuse_port, **options)
