"""The arbiter's loop: it waits, tells the fleet what happened, and does what the fleet answers. It decides nothing.

Everything comes through one poll(): signals (a pipe that the handlers write to), what workers say, their ends
(SIGCHLD), and the fleet's next deadline as the timeout. Nothing is looked at in turns.

What is an affair of its own has a class of its own: the workers' processes (processes.py), templates, upgrades,
questions on the control socket. Each gets the arbiter, and uses what has no underscore here.
"""

from __future__ import annotations

import os
import signal
import time
from collections import deque
from collections.abc import Callable, Sequence
from math import ceil

from hostler.arbiter import actions as do
from hostler.arbiter import events as ev
from hostler.arbiter.actions import Action
from hostler.arbiter.budget import Budget
from hostler.arbiter.elastic import Elastic
from hostler.arbiter.fleet import Fleet, FleetState, ImpossibleEvent
from hostler.arbiter.forwarding import Forwarding
from hostler.arbiter.host import Host
from hostler.arbiter.life import APP_CODE, BOOT_CODE
from hostler.arbiter.plan import Plan
from hostler.arbiter.processes import Processes
from hostler.arbiter.questions import Questions
from hostler.arbiter.served import Served
from hostler.arbiter.template import Template
from hostler.arbiter.templates import News, Templates, Told
from hostler.arbiter.touched import Touched
from hostler.arbiter.upgrade import Guest, Upgrade
from hostler.arbiter.watcher import Watcher
from hostler.arbiter.words import event_of, shown
from hostler.control.server import Client, ControlServer
from hostler.errors import HostlerError
from hostler.logs import Logs, facts, printable, printable_lines
from hostler.proc.channel import Channel
from hostler.proc.dump import Dump
from hostler.proc.fork import fork
from hostler.proc.notify import Notifier
from hostler.proc.poll import Poll
from hostler.proc.reap import REAPED_AT_ONCE, reap
from hostler.proc.signals import HANDLED, SignalQueue, in_a_child, name_of
from hostler.proc.sockets import Listener
from hostler.stats.scoreboard import Scoreboard

__all__ = ["Arbiter"]

_RESIZE = {signal.SIGTTIN: 1, signal.SIGTTOU: -1}


class _Coming:
    """A reload whose template imports the app."""

    def __init__(self, reason: str, plan: Plan, template: Template, clients: Sequence[Client]) -> None:
        self.reason = reason
        self.plan = plan
        self.template = template
        self.clients = list(clients)


class Arbiter:
    """The parent of the workers. `run()` returns when all of them are gone."""

    def __init__(self, fleet: Fleet, plan: Plan, board: Scoreboard, logs: Logs, host: Host | None = None) -> None:
        self.fleet = fleet
        self.plan = plan
        self.board = board
        self.logs = logs
        self.host = host or Host()
        self.handlers = in_a_child(logs.reopen)  # of a new child
        self.notifier = self.host.notifier or Notifier({})
        self.poll = Poll()
        self.control = ControlServer(self.host.control, logs)
        self.processes = Processes(board, logs, self.poll)
        self.upgrade = Upgrade(self)
        self._templates = Templates(self)
        self._questions = Questions(self)
        self._guest: Guest | None = None  # while we take over from another server
        self._proven: Plan | None = None  # the one to go back to, while a reload is not proven
        self._waiting: list[Client] = []  # for the end of the reload that is on its way
        self._next: tuple[str, list[Client]] | None = None  # a reload that came while another one was not proven
        self._template: Template | None = None  # of the plan, where it has one
        self._proven_template: Template | None = None
        self._coming: _Coming | None = None
        self._watcher = Watcher(self)
        self._forwarding = Forwarding(self, self.host.inboxes)
        self._served = Served(logs)
        self._touched = Touched(plan.touch_reload, time.monotonic())
        self._budget = Budget(plan.memory_budget, time.monotonic())
        self._elastic = Elastic(self, plan, time.monotonic())
        self._exit_code: int | None = None
        self._has_to_reap = False  # whether children may have ended that were not collected

    def run(self) -> int:
        """Start the fleet and look after it until its end."""
        self._signals = SignalQueue(HANDLED)
        try:
            self.poll.register(self._signals)
            if self.host.before is not None:
                self._guest = Guest(self, self.host.before)
            if self._guest is None or self.control.has_own_name:
                self.control.open(self.poll)
            if self.plan.template is None:
                self.feed(ev.Start())
            else:
                self._template = self._templates.start(self.plan)
            self._watcher.start()
            while self._exit_code is None:
                self._wait()
            return self._exit_code
        finally:
            self.tell_hooks("on_exit")
            self._end_helpers()
            self._templates.finish()
            self._forwarding.finish()
            self.upgrade.finish()
            self.control.close()
            self._signals.close(is_last=True)

    @property
    def is_changing(self) -> bool:
        """Whether nobody knows yet if the version that is about to serve can."""
        return self._proven is not None or self._coming is not None or self._guest is not None

    # --- One turn ---

    def _wait(self) -> None:
        """Wait for whatever comes first, and pass it on."""
        self.processes.begin_turn()
        ready = self.poll.wait(self._timeout())
        for pid, message in self.processes.hear(ready):
            self._listen(pid, message)
        for told in self._templates.hear(ready):
            self._on_told(told)
        self.upgrade.hear(ready)
        if self._guest is not None and self._guest.look(ready):
            self._guest = None
            self.notifier.ready(self._serving())
        self._watcher.hear(ready)
        if self._signals.fileno() in ready:
            for number in self._signals.take():
                self._on_signal(number)
        if self._has_to_reap:
            self._reap()
        for question in self.control.take(ready):
            self._questions.take(question)
        may_reload = self._proven is None and self._guest is None and self.fleet.state is not FleetState.NEW
        if self._next is not None and may_reload:
            (reason, clients), self._next = self._next, None
            self.reload(reason, clients)
        self._look_around(time.monotonic())

    def _look_around(self, now: float) -> None:
        """Do what it is time for."""
        if (path := self._touched.take(now)) is not None:
            self.reload(f"{printable(path)} was touched")
        dues = (self._budget.deadline(), self._elastic.deadline())
        if any(due is not None and due <= now for due in dues):
            self._look_at_workers(now)
        for told in self._templates.expire(now):
            self._on_told(told)
        self.notifier.beat(now)
        if self.plan.metrics is not None:
            self.plan.metrics.send(now, self.board, self.fleet.size, self.plan.listeners)
        self.control.expire(now)
        self._questions.inquiries.expire(now)
        deadline = self.fleet.deadline()
        if deadline is not None and deadline <= now:
            self.feed(ev.Tick())

    def _look_at_workers(self, now: float) -> None:
        """Whether they have too much memory, are too few or too many."""
        serving = [pid for pid in self.processes.slots if self.fleet.is_ready(pid)]
        if (found := self._budget.look(now, serving, self._templates.pids)) is not None:
            self.feed(ev.Renew(*found))
        self._elastic.look(now, serving, self._templates.pids)

    def _timeout(self) -> int | None:
        """Milliseconds until the next deadline, rounded up so that it has passed then."""
        if self._has_to_reap:
            return 0
        deadlines = (
            self.fleet.deadline(),
            self.processes.deadline(),
            self.control.deadline(),
            self._questions.inquiries.deadline(),
            self.notifier.deadline(),
            self._templates.deadline(),
            self._touched.deadline(),
            self._budget.deadline(),
            self._elastic.deadline(),
            self.plan.metrics.deadline() if self.plan.metrics is not None else None,
        )
        deadline = min((each for each in deadlines if each is not None), default=None)
        return None if deadline is None else max(0, ceil((deadline - time.monotonic()) * 1000))

    def _on_signal(self, number: int) -> None:
        if number == signal.SIGCHLD:
            self._has_to_reap = True
        elif number in (signal.SIGTERM, signal.SIGINT):
            self.feed(ev.Stop(name_of(number)))
        elif number == signal.SIGQUIT:
            self.feed(ev.Quit(name_of(number)))
        elif number == signal.SIGHUP:
            self.reload(name_of(number))
        elif number == signal.SIGUSR1:
            self.feed(ev.Reopen())
        elif number in _RESIZE:
            self.feed(ev.Resize(name_of(number), _RESIZE[signal.Signals(number)]))
        elif number == signal.SIGUSR2:
            self.upgrade.begin(name_of(number))
        elif self.upgrade.channel is not None:  # SIGWINCH, in recipes written for gunicorn; terminals send it too
            text = "signal ignored; workers leave by themselves when the new server has taken over"
            self.logs.info(text, signal=name_of(number))

    def _reap(self) -> None:
        """Bury who has ended; when there are very many, the rest in the next turn."""
        ended = 0
        for pid, code in reap():
            self._on_exit(pid, code)
            ended += 1
        self._has_to_reap = ended == REAPED_AT_ONCE

    def _listen(self, pid: int, message: str) -> None:
        """Pass on what a worker says: a word ("ready", "retire", "failed app", ...), then a text."""
        word, _, text = message.partition("\n")
        if word == "stacks":
            self._questions.inquiries.hear(pid, printable_lines(text))
            return
        event = event_of(pid, word, text)
        if event is None or not self.fleet.fits(event):
            self.processes.remarks.add(pid, shown(pid, word), time.monotonic())
            return
        if isinstance(event, ev.Ready):
            self._served.hear(event.about)
        self.feed(event)
        if isinstance(event, ev.Ready):
            self._forwarding.begin()

    def _on_exit(self, pid: int, code: int) -> None:
        if self.upgrade.on_exit(pid, code) or self._forwarding.on_exit(pid):
            return
        if pid in self._templates.pids:
            for told in self._templates.bury(pid, code):
                self._on_told(told)
            return
        self._templates.on_exit(pid, code)
        slot = self.processes.slots.get(pid)
        words = self.processes.bury(pid)
        if words is None or slot is None:
            return  # an orphan that we inherited
        for message in words:  # its last words come before its death
            self._listen(pid, message)
        self.processes.remarks.forget(pid)
        if self.plan.hooks is not None:
            self.plan.hooks.ended(pid)
        self._questions.inquiries.hear(pid, "it has ended")
        self._forwarding.begin()
        self.feed(ev.Exited(pid, code))

    # --- Reloads ---

    def reload(self, reason: str, clients: Sequence[Client] = (), is_urgent: bool = False) -> None:
        """Read the configuration again and have it take over; one that is wrong changes nothing.

        `clients` are told how it went. It waits for the start. It also waits while it is not known yet whether the last
        reload can serve, unless no worker serves at all.
        """
        is_unproven = self._proven is not None and self.fleet.is_serving()
        if is_unproven or self._guest is not None or self.fleet.state is FleetState.NEW:
            self._next = (reason, [*(self._next[1] if self._next else ()), *clients])
            return
        self._restore()
        clients = [*clients, *self._drop_coming()]  # a newer version may mend what hangs in the last one
        try:
            if not self.fleet.may_reload():
                raise HostlerError("the server is stopping")
            if self.host.replan is None:
                raise HostlerError("the app was given by a script, which must be started again")
            plan = self.host.replan(self.fleet.most)
        except HostlerError as error:
            self._fail_reload(reason, error.message, clients)
            return
        except Exception as error:  # whatever a reload meets, the workers that serve go on
            import traceback  # only here: the arbiter keeps what it loads

            self.logs.error(traceback.format_exc())
            self._fail_reload(reason, f"{error!r} (please report it)", clients)
            return
        self.notifier.reloading()
        if plan.template is None:
            self._roll_out(reason, plan, None, clients, is_urgent)
            return
        self.logs.info("importing the application again for all workers", reason=reason, option="preload")
        try:
            self._coming = _Coming(reason, plan, self._templates.start(plan), clients)
        except OSError as error:
            plan.revert()
            self._fail_reload(reason, f"no process for the application {facts(reason=error.strerror)}", clients)

    def _drop_coming(self) -> list[Client]:
        """Give up a reload whose template imports the app still; returns who waits for it."""
        if self._coming is None:
            return []
        coming, self._coming = self._coming, None
        self._templates.end(coming.template)
        coming.plan.revert()
        return coming.clients

    def tell_hooks(self, name: str) -> None:
        """Call the operator's hook of that name, where there are any."""
        if self.plan.hooks is not None:
            self.plan.hooks.tell(name)

    def tell(self, clients: Sequence[Client], is_done: bool, text: str) -> None:
        """Answer those who wait for the end of a reload or an upgrade."""
        for client in clients:
            self.control.answer(client, text + "\n" if is_done else text, is_error=not is_done)

    def _roll_out(
        self, reason: str, plan: Plan, template: Template | None, clients: Sequence[Client], is_urgent: bool = False
    ) -> None:
        """Have the workers of a plan take over."""
        self._waiting += clients  # those of a reload that is not through yet learn how this one went
        self._proven, self.plan = self.plan, plan
        self._proven_template, self._template = self._template, template
        self._take_up(plan)
        self.tell_hooks("on_reload")
        self.feed(ev.Reload(reason, self._elastic.size(plan.size), plan.timing, plan.batch, is_urgent))

    def _take_up(self, plan: Plan) -> None:
        """What of a plan is the arbiter's own."""
        self._touched = Touched(plan.touch_reload, time.monotonic())
        self._budget = Budget(plan.memory_budget, time.monotonic())
        self._elastic = Elastic(self, plan, time.monotonic())
        self.board.log_level = 0  # what was asked for while the last plan was in force

    def _fail_reload(self, reason: str, problem: str, clients: Sequence[Client]) -> None:
        text = f"not reloaded, nothing has changed: {problem}"
        self.logs.error(text, reason=reason)
        self.tell(clients, False, text)

    def _restore(self) -> None:
        """Back to the configuration that is known to work."""
        if self._proven is not None:
            self.plan.revert()
            self.plan, self._proven = self._proven, None
            self._take_up(self.plan)
            if self._template is not None:
                self._templates.end(self._template)
            self._template, self._proven_template = self._proven_template, None

    def _on_told(self, told: Told) -> None:
        """What templates bring about."""
        if isinstance(told, News):
            self._on_news(told)
        elif isinstance(told, ev.Exited):
            self._on_exit(told.pid, told.code)
        else:
            self.feed(told)

    def _on_news(self, news: News) -> None:
        """A template has the app, or cannot have it."""
        template, coming = news.template, self._coming
        if coming is not None and coming.template is template:
            self._coming = None
            if not news.problem:
                self._roll_out(coming.reason, coming.plan, template, coming.clients)
                return
            self._templates.end(template)
            coming.plan.revert()
            self._fail_reload(coming.reason, news.problem, coming.clients)
            self.notifier.ready("the last reload has failed; the old version serves")
        elif self.fleet.state is FleetState.NEW:
            code = APP_CODE if news.is_app else BOOT_CODE
            self.feed(ev.GiveUp(code, news.problem) if news.problem else ev.Start())
        elif self.fleet.is_up() and template in (self._template, self._proven_template):
            if not news.problem:
                self.logs.info("application imported again for all workers", option="preload")
                self.feed(ev.Importable())
                return
            self.logs.warning(news.problem)
            if template is self._template and template.was_ready:
                self._renew_template()

    # --- What the fleet wants ---

    def feed(self, event: ev.Event) -> None:
        """Tell the fleet, do what it wants, tell it what came of that, until it wants nothing more."""
        if self._exit_code is not None:
            return
        events = deque([event])
        while events:
            event = events.popleft()
            try:
                actions = self.fleet.on(event, time.monotonic())
            except ImpossibleEvent as error:  # a fault of ours; the workers go on serving
                self.logs.error(f"please report this fault of hostler: {error}")
                continue
            for action in actions:
                events.extend(self._do(action))
        self.board.count_restarts(tuple(self.fleet.restarts.values()))
        if self.plan.hooks is not None:
            self.plan.hooks.resized(self.fleet.size)

    def _do(self, action: Action) -> list[ev.Event]:
        """Perform one action; returns what the fleet must hear about it."""
        match action:
            case do.Spawn(slot):
                return self._spawn(slot)
            case do.Signal(pid, number):
                os.kill(pid, number)  # it exists, if only as a zombie, until we have reaped it
            case do.Log(level, text):
                self.logs.log(level, text)
            case do.Announce():
                self._announce()
            case do.NameCut(slot):
                self.processes.name_cut(slot)
            case do.Look():
                return [ev.Look(self.processes.heartbeats())]
            case do.Diagnose(slot, pid, silence):
                self.processes.diagnose(slot, pid, silence)
            case do.Withdraw():
                self.upgrade.cancel()
                self.board.leave()
                self.notifier.stopping()
            case do.RefuseNewcomers():
                self.upgrade.cancel()
                self.notifier.stopping()
                self.board.leave()
                for listener in self._all_listeners() if self._guest is None else ():
                    listener.refuse_newcomers()
            case do.CloseListeners():
                self._close_listeners(is_last=self._guest is None)
            case do.LeaveListeners():
                self._close_listeners(is_last=False)
            case do.ReopenLogs():
                self.control.heal()
                self.logs.reopen()
                self._templates.reopen_logs()
            case do.Commit():
                self._proven = None
                if self._proven_template is not None:
                    self._templates.end(self._proven_template)
                    self._proven_template = None
                self.plan.commit()
                self._served.say_news()
            case do.Restore():
                self._restore()
            case do.ReloadEnded(is_done, text):
                self.tell(self._waiting, is_done, text)
                self._waiting = []
                if self.fleet.is_up():
                    failed = "the last reload has failed; the old version serves"
                    self.notifier.ready(self._serving() if is_done else failed)
            case do.Exit(code):
                self._exit_code = code
        return []

    def _announce(self) -> None:
        """Say where we listen."""
        for listener in self.plan.listeners:
            if listener.is_admin:
                self.logs.info("probes are answered", url=listener.url)
            else:
                self.logs.info(self._served.with_facts(self.plan.welcome.format(url=listener.url)))
        self._served.say_news()
        self.notifier.ready(self._serving())
        self.host.serves()
        self.tell_hooks("when_ready")

    def _serving(self) -> str:
        """ "2 workers serve http://127.0.0.1:8000"."""
        size, urls = self.fleet.size, [listener.url for listener in self.plan.listeners if not listener.is_admin]
        return f"{size} worker{'s serve' if size > 1 else ' serves'} {', '.join(urls)}"

    def _all_listeners(self) -> list[Listener]:
        """Where workers may accept: while a reload is not proven, those of both plans."""
        plans = (self.plan, self._proven, self._coming.plan if self._coming is not None else None)
        return list(dict.fromkeys(listener for plan in plans if plan is not None for listener in plan.listeners))

    def _close_listeners(self, is_last: bool) -> None:
        """Close ours, and let go of who would have needed them; `is_last`: nobody else listens there."""
        listeners = self._all_listeners()
        self.upgrade.cancel()
        self._end_helpers()
        for listener in listeners:
            if is_last:
                listener.close()
            else:
                listener.socket.close()

    def _end_helpers(self) -> None:
        """No more workers will be forked, nobody has to know of changes."""
        self.tell(self._drop_coming(), False, "the server is stopping")
        self._templates.end_all()
        self._watcher.end()

    # --- Workers' processes ---

    def _spawn(self, slot: int) -> list[ev.Event]:
        """Have a worker for a slot. What the fleet must hear may come later: with preload the template answers."""
        hooks = self.plan.hooks
        hooked = hooks.forking() if hooks is not None else None

        def forked(pid: int) -> None:
            if hooks is not None and hooked is not None:
                hooks.forked(hooked, pid)

        def make(ours: Channel, theirs: Channel, dump: Dump) -> int:
            return fork(lambda: self.leave(ours), lambda: self.plan.work(slot, theirs, dump), self.handlers)

        if self.plan.template is not None:
            return self._fork_from_template(slot, hooked.age if hooked else 0, forked)
        made = self.processes.make(slot, make)
        if isinstance(made, ev.Started):
            forked(made.pid)
        return [made]

    def _fork_from_template(self, slot: int, age: int, forked: Callable[[int], None]) -> list[ev.Event]:
        """Ask the template. One that has died is made anew, and no worker can be forked until it is there."""
        template = self._template
        listeners = [listener.socket.fileno() for listener in self.plan.listeners]
        try:
            if template is None or not self._templates.is_alive(template):
                template = self._template = self._templates.start(self.plan)
            return list(self._templates.fork(template, slot, age, listeners, forked))
        except OSError as error:
            return [ev.SpawnFailed(slot, error.strerror or str(error))]

    def _renew_template(self) -> None:
        """One that had the app has died: have another one import it before a worker is needed."""
        try:
            self._template = self._templates.start(self.plan)
        except OSError as error:  # the next worker's fork tries again
            self.logs.error("no process for the application", reason=error.strerror)

    def leave(self, ours: Channel | None = None) -> None:
        """In a child: close what is the arbiter's, so that all see its end."""
        self._signals.abandon()
        self.control.abandon()
        lines = (self.upgrade.channel, self._guest.channel if self._guest is not None else None, self._watcher.channel)
        for channel in (ours, *lines):
            if channel is not None:
                channel.close()
        self._templates.abandon()
        self.processes.abandon()
