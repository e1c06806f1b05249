"""Waits, in the supervisor, until the applications of the event loop have started."""

from __future__ import annotations

import select
import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from hostler.proc.fork import leave

if TYPE_CHECKING:
    from hostler.logs import Logs
    from hostler.proc.channel import Channel
    from hostler.proc.signals import SignalQueue
    from hostler.worker.event_loop import EventLoop

__all__ = ["await_start"]

# Seconds after which a start-up that has not ended is logged. Most take less than one.
SLOW = 6.0


def await_start(
    loop: EventLoop, signals: SignalQueue, channel: Channel, logs: Logs, keep_time: Callable[[], int]
) -> bool:
    """Returns when the applications serve, or cannot (False).

    TERM, QUIT and the end of the arbiter end the process. `keep_time` does what is due, and returns the milliseconds
    until it is to be called again.
    """
    started = loop.started
    slow_at = time.monotonic() + SLOW
    poll = select.poll()
    for fd in (started, signals.fileno(), channel.fileno()):
        poll.register(fd, select.POLLIN)
    while True:
        wait = keep_time()
        left = max(0.0, slow_at - time.monotonic()) * 1000
        ready = {fd for fd, _ in poll.poll(min(wait, left + 1))}
        if {signal.SIGTERM, signal.SIGQUIT}.intersection(signals.take()):
            leave(0)
        if channel.fileno() in ready:
            channel.receive()
            if not channel.is_open:
                leave(0)
        if started in ready:
            return loop.has_started()
        if time.monotonic() >= slow_at:
            slow_at = float("inf")
            text = f"the application has not answered lifespan.startup; waiting_for={SLOW:.0f}s option=lifespan"
            remedy = 'lifespan = "off" serves it without; boot_timeout ends the wait'
            logs.warning(f"{text}; {remedy}\n{loop.stack_of_start()}")
