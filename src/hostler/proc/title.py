"""What a process is called in lists such as ps and top."""

from __future__ import annotations

import contextlib

__all__ = ["name_thread", "set_title"]


def name_thread(name: str) -> None:
    """Call the calling thread `name` (at most 15 bytes), where the system has /proc: Python does so from 3.14 on."""
    import threading

    with contextlib.suppress(OSError), open(f"/proc/self/task/{threading.get_native_id()}/comm", "wb") as file:
        file.write(name.encode())


def set_title(text: str) -> None:
    """Call this process `text`: its whole command line with setproctitle, else 15 bytes of its name (proc(5), comm)."""
    try:
        from setproctitle import setproctitle
    except ImportError:
        try:
            with open("/proc/self/comm", "wb") as file:
                file.write(text.encode("utf-8", "replace")[:15])
        except OSError:  # no /proc here
            pass
    else:
        setproctitle(text)
