"""What a process is called in lists such as ps and top."""

from __future__ import annotations

__all__ = ["set_title"]


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
