"""What every page's footer says about the thread that made it."""

import os
import threading

from django.http import HttpRequest


def server(request: HttpRequest) -> dict[str, object]:
    """The facts of this request, as the server told them to the application."""
    return {
        "server_software": request.META.get("SERVER_SOFTWARE", "unknown server"),
        "worker_pid": os.getpid(),
        "thread_name": threading.current_thread().name,
    }
