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

    `app` is a WSGI or ASGI callable, or text as for `hostler serve`. The options are those of the command line, with
    underscores: `serve(app, bind="127.0.0.1:8000", workers=2)`. Only the main thread can call it. Raises
    `hostler.errors.HostlerError` when an option is wrong or an address is taken.
    """
    from hostler.config import from_keywords, load
    from hostler.errors import ConfigError
    from hostler.launcher import run

    if host is not None:
        if "bind" in options:
            raise ConfigError("serve(): give either host and port or bind")
        options["bind"] = _address(host, port)
    if isinstance(app, str):
        options["app"] = app
    given = from_keywords(options)
    if app is None or isinstance(app, str):
        return run(load(given), reread=lambda: load(given))
    return run(load(given), app)  # a callable cannot be imported again: no reload


def run(
    app: Callable[..., Any], host: str, port: int | None = None, *, reuse_port: bool = False, **options: Any
) -> int:
    """`serve` with bjoern's arguments: `run(app, "0.0.0.0", 8000)`, `run(app, "unix:/run/app.sock")`."""
    return serve(app, host, port, **options)


def _address(host: str, port: int | None) -> str:
    if host.startswith("unix:"):
        return host
    return f"[{host}]:{port or 0}" if ":" in host else f"{host}:{port or 0}"
