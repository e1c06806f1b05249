"""What a developer's server answers while the application cannot be imported: why."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from hostler.errors import AppLoadError
from hostler.worker.interfaces import Mounted

__all__ = ["explain"]


def explain(error: AppLoadError) -> Mounted:
    """An application that answers every request with 500, the traceback and the line that matters."""
    text = f"{error.message}\n\n{error.detail}\n".encode("utf-8", "backslashreplace")
    head = [("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store")]

    def failed(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("500 Internal Server Error", head)
        return [text]

    return Mounted(failed, False, "", ())
