"""The template processes: started for a plan that wants one (preload), heard, made anew when they die.

They run code of the app. What one says is read by a quota, and a pid that it names must be a child that was born for
it. One that names another pid, or does not answer, is killed.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from hostler.arbiter import events as ev
from hostler.arbiter.life import how_it_ended
from hostler.arbiter.plan import Plan
from hostler.arbiter.template import Fork, Template
from hostler.arbiter.words import shown
from hostler.logs import printable, printable_lines
from hostler.proc.adoption import moment, why_foreign
from hostler.proc.channel import Channel
from hostler.proc.children import Tree
from hostler.proc.fork import fork
from hostler.proc.reap import adopt_orphans, has_ended

if TYPE_CHECKING:
    from hostler.arbiter.arbiter import Arbiter

__all__ = ["News", "Templates"]

# Seconds from the end of the channel to KILL: the app's own processes end meanwhile.
_END_WITHIN = 4.0
_REASON_SHOWN = 200
# Max orphans whose end is remembered while a fork is not answered.
_ENDED_MOST = 1000


class News(NamedTuple):
    """A template has the app, or cannot have it."""

    template: Template
    problem: str = ""
    is_app: bool = False  # whether the problem is the app's


# What templates bring about, in this order where there are several.
Told = News | ev.Started | ev.SpawnFailed | ev.Exited


class Templates:
    """Those that have not been reaped."""

    def __init__(self, arbiter: Arbiter) -> None:
        self._arbiter = arbiter
        self._living: dict[int, Template] = {}
        self._full: set[int] = set()  # those that have said so much that they are not listened to for a moment
        self._ended: dict[int, int] = {}  # orphans that have ended while forks were not answered: pid -> exit code

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
        now = time.monotonic()
        due = now + plan.timing.boot if plan.timing.boot else None
        template = self._living[pid] = Template(pid, ours, now, due)
        self._arbiter.poll.register(ours)
        return template

    def is_alive(self, template: Template) -> bool:
        """Whether its process has not been reaped."""
        return template.pid in self._living

    def fork(
        self, template: Template, slot: int, age: int, listeners: Sequence[int], forked: Callable[[int], None]
    ) -> list[ev.SpawnFailed]:
        """Have it fork a worker with these listeners, and tell `forked` the pid; OSError when it cannot.

        Later there is Started or SpawnFailed for the slot, or SpawnFailed now.
        """
        ours, theirs, dump = self._arbiter.processes.open()
        wanted = Fork(slot, age, ours, dump, forked)
        wanted.theirs, wanted.listeners = theirs, listeners
        try:
            template.want(wanted)
        except OSError:
            wanted.close()
            raise
        return self._ask(template)

    def hear(self, ready: set[int]) -> Iterator[Told]:
        """What they say on these descriptors, as much as their quotas allow."""
        now = time.monotonic()
        for template in list(self._living.values()):
            channel = template.channel
            if channel.is_open and (channel.fileno() in ready or template.pid in self._full):
                yield from self._receive(template, now)

    def bury(self, pid: int, code: int) -> Iterator[Told]:
        """A process has ended; there is no News when it was none of these, or had been told to end."""
        template = self._living.pop(pid)
        if template.channel.is_open:
            for message in template.channel.receive():  # its last words
                yield from self._understood(template, message)
        self._full.discard(pid)
        self._arbiter.processes.remarks.forget(pid)
        self._arbiter.poll.forget(template.channel)
        template.channel.close()
        template.is_ready = False
        how = template.problem or f"died {how_it_ended(code)}"
        yield from self._fail_forks(template, f"the process that has the application (preload) {how}")
        if not (template.is_retired or template.has_failed):
            yield News(template, f"the process that imports the application for all workers {how}")

    def deadline(self) -> float | None:
        """When to call `expire` and `hear`."""
        dues = [each.deadline() for each in self._living.values()]
        dues += [self._living[pid].quota.due() for pid in self._full]
        return min((due for due in dues if due is not None), default=None)

    def expire(self, now: float) -> Iterator[Told]:
        """Kill those that are late: with the app (boot_timeout), with a fork, with their end."""
        for template in list(self._living.values()):
            if template.is_late(now):
                self._kill(template, "did not fork a worker in time: killed")
                yield from self._fail_forks(template, "the process that has the application (preload) does not answer")
            if template.due is None or template.due > now:
                continue
            template.due = None
            is_importing = not template.was_ready and not template.is_closed
            self._kill(template)
            if is_importing:
                template.has_failed = True
                yield News(template, "the application was not imported within boot_timeout (preload): killed")

    def on_exit(self, pid: int, code: int) -> None:
        """A worker, or an orphan that we are the parent of, has ended."""
        for template in self._living.values():
            template.workers.discard(pid)
            self._close_if_idle(template)
        if any(template.forks for template in self._living.values()):
            if len(self._ended) < _ENDED_MOST:
                self._ended[pid] = code
        else:
            self._ended.clear()

    def end(self, template: Template) -> None:
        """Want no more workers of it: it ends with the last that it has, or at once while it imports."""
        template.is_ready = False
        template.is_retired = True
        if not template.was_ready:
            self._kill(template)
        else:
            self._close_if_idle(template)

    def end_all(self) -> None:
        """Want no more workers of any, nor those that were asked for."""
        for template in self._living.values():
            for each in template.drop_forks():
                each.close()
            self.end(template)

    def finish(self) -> None:
        """At the arbiter's end: none may outlive it, whatever it is busy with."""
        self.end_all()
        for template in self._living.values():
            template.workers.clear()
            self._close_if_idle(template)
        deadline = time.monotonic() + _END_WITHIN
        for template in self._living.values():
            if not has_ended(template.pid, deadline - time.monotonic()):
                self._kill(template)
                has_ended(template.pid, 1.0)

    def reopen_logs(self) -> None:
        """Have the workers to come write to the new files."""
        for pid, template in self._living.items():
            if template.is_ready:  # the others do so when they are
                os.kill(pid, signal.SIGUSR1)

    def abandon(self) -> None:
        """In a forked child: close what is the arbiter's."""
        for template in self._living.values():
            template.channel.close()
            for each in template.forks:
                each.close()

    def _receive(self, template: Template, now: float) -> Iterator[Told]:
        channel, poll = template.channel, self._arbiter.poll
        messages = channel.receive(template.quota.left(now))
        template.quota.spend(len(messages))
        if channel.is_open and template.quota.left(now):
            self._full.discard(template.pid)
            poll.register(channel)
        else:
            poll.forget(channel)
            if channel.is_open:
                self._full.add(template.pid)
            elif not template.has_failed:  # it ends, or has lost its line to us: then it is of no use
                self._kill(template)
        for message in messages:
            yield from self._understood(template, message)

    def _understood(self, template: Template, message: str) -> Iterator[Told]:
        head, _, text = message.partition("\n")
        word, *rest = head[:_REASON_SHOWN].split(" ", 2)
        is_end_of_import = word == "ready" or head in ("failed app", "failed boot")
        is_news = not (template.was_ready or template.has_failed or template.is_retired)
        if word == "ready" and is_news:
            template.is_ready = template.was_ready = True
            template.due = None
            yield News(template)
        elif is_end_of_import and is_news:
            template.has_failed = True
            yield News(template, printable_lines(text), head == "failed app")
        elif word in ("forked", "unforked") and len(rest) == 2 and (fork := template.answered(rest[0])) is not None:
            if word == "forked":
                yield from self._forked(template, fork, rest[1])
            else:
                fork.close()
                yield ev.SpawnFailed(fork.slot, printable(rest[1]))
            yield from self._ask(template)
            self._close_if_idle(template)
        elif not (template.is_retired and is_end_of_import):
            said = printable(head[:40])
            text = shown(template.pid, said)
            self._arbiter.processes.remarks.add(template.pid, text, time.monotonic())

    def _forked(self, template: Template, fork: Fork, text: str) -> Iterator[Told]:
        """It says that it has forked a worker, and names its pid. It may name any."""
        problem = why_foreign(text, fork.since, template.pid)
        code = self._ended.pop(int(text), None) if problem and text[:10] == text and text.isdecimal() else None
        processes = self._arbiter.processes
        if not problem and int(text) in processes.slots:
            problem = "it is a worker already"
        if problem and code is None:
            fork.close()
            self._kill(template, f"named process {printable(text)} as a worker that it has forked ({problem}): killed")
            yield ev.SpawnFailed(fork.slot, "the process that has the application (preload) named another process")
            return
        pid = int(text)
        if not self._arbiter.fleet.fits(ev.Started(fork.slot, pid)):  # it is not wanted any more
            fork.close()
            if code is None:
                os.kill(pid, signal.SIGKILL)
            return
        template.workers.add(pid)
        fork.forked(pid)
        yield processes.adopt(fork.slot, pid, fork.ours, fork.dump)
        if code is not None:  # it has ended before it was named
            yield ev.Exited(pid, code)

    def _ask(self, template: Template) -> list[ev.SpawnFailed]:
        failed = template.ask(time.monotonic(), moment())
        for each, _ in failed:
            each.close()
        return [ev.SpawnFailed(each.slot, error.strerror or str(error)) for each, error in failed]

    def _fail_forks(self, template: Template, reason: str) -> Iterator[ev.SpawnFailed]:
        for each in template.drop_forks():
            each.close()
            yield ev.SpawnFailed(each.slot, reason)

    def _close_if_idle(self, template: Template) -> None:
        """Tell a retired one to end, when it has neither workers nor forks any more."""
        if template.is_retired and not template.is_closed and not template.workers and not template.forks:
            template.is_closed = True
            template.due = time.monotonic() + _END_WITHIN
            self._arbiter.poll.forget(template.channel)
            template.channel.close()

    def _kill(self, template: Template, problem: str = "") -> None:
        """End it at once, with all that it has started."""
        template.is_ready = False
        template.problem = template.problem or problem
        if template.pid not in self._living:  # reaped: the number may mean another process
            return
        tree = Tree(template.pid)
        os.kill(template.pid, signal.SIGKILL)  # our child: its pid is its own until we have reaped it
        tree.signal(signal.SIGKILL)
        tree.close()
