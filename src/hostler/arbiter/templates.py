"""The template processes: started for a plan that wants one (preload), heard, made anew when they die."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from hostler.arbiter.life import how_it_ended
from hostler.arbiter.plan import Plan
from hostler.arbiter.template import Template
from hostler.proc.channel import Channel
from hostler.proc.dump import Dump
from hostler.proc.fork import fork
from hostler.proc.reap import adopt_orphans

if TYPE_CHECKING:
    from hostler.arbiter.arbiter import Arbiter

__all__ = ["News", "Templates"]


class News(NamedTuple):
    """A template has the app, or cannot have it."""

    template: Template
    problem: str = ""
    is_app: bool = False  # whether the problem is the app's


class Templates:
    """Those that have not been reaped."""

    def __init__(self, arbiter: Arbiter) -> None:
        self._arbiter = arbiter
        self._living: dict[int, Template] = {}
        self._news: list[News] = []  # that came while a worker was forked

    @property
    def channels(self) -> list[Channel]:
        """Our ends of the lines to them."""
        return [template.channel for template in self._living.values()]

    @property
    def pids(self) -> list[int]:
        """Their processes."""
        return list(self._living)

    def start(self, plan: Plan) -> Template:
        """Fork the process that imports the application for the workers of a plan; OSError when it cannot be."""
        assert plan.template is not None
        run = plan.template
        adopt_orphans()
        ours, theirs = Channel.pair()
        try:
            pid = fork(lambda: self._arbiter.leave(ours), lambda: run(theirs), self._arbiter.handlers)
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        due = time.monotonic() + plan.timing.boot if plan.timing.boot else None
        template = self._living[pid] = Template(pid, ours, due)
        self._arbiter.poll.register(ours)
        return template

    def is_alive(self, template: Template) -> bool:
        """Whether its process has not been reaped."""
        return template.pid in self._living

    def fork(self, template: Template, slot: int, age: int, theirs: Channel, dump: Dump) -> int:
        """Have it fork a worker; returns the pid, or raises OSError."""

        def keep(message: str) -> None:
            self._news += self._understood(template, message)

        try:
            return template.fork(slot, age, theirs, dump, keep)
        finally:
            if not template.channel.is_open:  # it has died meanwhile
                self._arbiter.poll.forget(template.channel)

    def hear(self, ready: set[int]) -> Iterator[News]:
        """What they say on these descriptors."""
        news, self._news = self._news, []
        yield from news
        for template in list(self._living.values()):
            if template.channel.is_open and template.channel.fileno() in ready:
                yield from self._receive(template)

    def bury(self, pid: int, code: int) -> Iterator[News]:
        """A process has ended; nothing is yielded when it was none of these, or had been told to end."""
        template = self._living.pop(pid)
        was_wanted = template.channel.fileno() >= 0
        if template.channel.is_open:
            yield from self._receive(template)  # its last words
        self.end(template)
        template.is_ready = False
        if was_wanted and not template.has_failed:
            yield News(template, f"the process that imports the application for all workers {how_it_ended(code)}")

    def deadline(self) -> float | None:
        """When to call `expire`."""
        dues = [each.due for each in self._living.values() if each.due is not None and not each.was_ready]
        return min(dues, default=None)

    def expire(self, now: float) -> Iterator[News]:
        """Kill those that do not get the app in time (boot_timeout)."""
        for template in list(self._living.values()):
            if template.due is not None and template.due <= now and not template.was_ready:
                template.due = None
                template.has_failed = True
                os.kill(template.pid, signal.SIGKILL)
                yield News(template, "the application was not imported within boot_timeout (preload): killed")

    def kill_all(self) -> None:
        """At the arbiter's end: none may outlive it, whatever it is busy with."""
        for pid in self._living:
            os.kill(pid, signal.SIGKILL)

    def end(self, template: Template) -> None:
        """Let go of it: it ends then."""
        self._arbiter.poll.forget(template.channel)
        template.close()

    def end_all(self) -> None:
        """Let go of all."""
        for template in self._living.values():
            self.end(template)

    def reopen_logs(self) -> None:
        """Have the workers to come write to the new files."""
        for pid, template in self._living.items():
            if template.is_ready:  # the others do so when they are
                os.kill(pid, signal.SIGUSR1)

    def _receive(self, template: Template) -> Iterator[News]:
        messages = template.channel.receive()
        if not template.channel.is_open:
            self._arbiter.poll.forget(template.channel)
        for message in messages:  # whoever hears one may let go of the template
            yield from self._understood(template, message)

    def _understood(self, template: Template, message: str) -> Iterator[News]:
        word, _, text = message.partition("\n")
        if word == "ready":
            template.is_ready = template.was_ready = True
            yield News(template)
        elif word in ("failed app", "failed boot"):
            template.has_failed = True
            yield News(template, text, word == "failed app")
