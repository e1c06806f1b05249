"""The arbiter's loop: it waits, tells the fleet what happened, and does what the fleet answers. It decides nothing.

Everything comes through one poll(): signals (a pipe that the handlers write to), what workers say, their ends
(SIGCHLD), and the fleet's next deadline as the timeout. Nothing is looked at in turns.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections import deque
from collections.abc import Sequence
from math import ceil
from typing import Any

from ostler.arbiter import actions as do
from ostler.arbiter import events as ev
from ostler.arbiter.actions import Action
from ostler.arbiter.budget import Budget
from ostler.arbiter.diagnosis import can_answer, explain
from ostler.arbiter.fleet import Fleet, FleetState, ImpossibleEvent
from ostler.arbiter.host import Host
from ostler.arbiter.inquiries import Inquiries
from ostler.arbiter.life import APP_CODE, BOOT_CODE, how_it_ended
from ostler.arbiter.plan import Plan
from ostler.arbiter.status import status
from ostler.arbiter.succession import YOURS, Guest, Heir, may_upgrade
from ostler.arbiter.template import Template
from ostler.arbiter.touched import Touched
from ostler.control.server import Client, ControlServer, Question
from ostler.errors import OstlerError
from ostler.logs import LEVELS, Logs, counted, printable
from ostler.proc.channel import Channel
from ostler.proc.dump import Dump
from ostler.proc.fork import fork
from ostler.proc.notify import Notifier
from ostler.proc.reap import adopt_orphans, reap
from ostler.proc.signals import STACKS, SignalQueue, name_of
from ostler.proc.sockets import Listener
from ostler.proc.threads import threads_of
from ostler.stats.scoreboard import STOPPED, Scoreboard

__all__ = ["HANDLED", "Arbiter"]

_RESIZE = {signal.SIGTTIN: 1, signal.SIGTTOU: -1}
HANDLED = frozenset(
    (
        signal.SIGTERM,
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGHUP,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGWINCH,
        signal.SIGCHLD,
        *_RESIZE,
    )
)

# How long all the stacks that are asked for in one turn may keep the other workers waiting, in seconds; what each
# of them gets at least.
_STACKS_WITHIN = 0.5
_STACKS_MINIMUM = 0.05


class Arbiter:
    """The parent of the workers. `run()` returns when all of them are gone."""

    def __init__(
        self,
        fleet: Fleet,
        plan: Plan,
        board: Scoreboard,
        logs: Logs,
        host: Host | None = None,
    ) -> None:
        self._fleet = fleet
        self._host = host or Host()
        self._plan = plan
        self._proven: Plan | None = None  # the one to go back to, while a reload is not proven
        self._board = board
        self._logs = logs
        self._replan = self._host.replan
        self._heir: Heir | None = None  # an upgrade on its way
        self._leaving: tuple[list[Client], str] | None = (
            None  # who is told that an upgrade is done, once we accept no more
        )
        self._guest: Guest | None = None  # while we take over from another server
        self._waiting: list[Client] = []  # for the end of the reload that is on its way
        self._next: tuple[str, list[Client]] | None = None  # a reload that came while another one was not proven
        self._channels: dict[int, Channel] = {}  # pid -> our end; a worker's process has one until it is reaped
        self._slots: dict[int, int] = {}  # pid -> slot
        self._dumps: dict[int, Dump] = {}  # pid -> where the process writes its stacks when it is asked
        self._template: Template | None = None  # of the plan, where it has one
        self._proven_template: Template | None = None
        self._templates: dict[int, Template] = {}  # pid -> each that has not been reaped
        self._coming: tuple[str, Plan, Template, list[Client]] | None = None  # a reload whose template imports the app
        self._watcher: Channel | None = None  # to the child that watches files
        self._notifier = self._host.notifier or Notifier({})
        self._touched = Touched(plan.touch_reload, time.monotonic())
        self._budget = Budget(plan.memory_budget, time.monotonic())
        self._started_ns = time.monotonic_ns()
        self._patience = 0.0  # what is left of _STACKS_WITHIN in this turn
        self._poll = select.poll()
        self._control = ControlServer(self._host.control, logs)
        self._inquiries = Inquiries(self._control.answer, self._take_stacks)
        self._exit_code: int | None = None

    def run(self) -> int:
        """Start the fleet and look after it until its end."""
        self._signals = SignalQueue(HANDLED)
        try:
            self._poll.register(self._signals, select.POLLIN)
            if self._host.before is not None:
                self._guest = Guest(self._host.before, self._poll, self._host.own)
            if self._guest is None or self._control.has_own_name:
                self._control.open(self._poll)
            if self._plan.template is None:
                self._feed(ev.Start())
            else:
                adopt_orphans()
                self._template = self._start_template(self._plan)
            self._start_watcher()
            while self._exit_code is None:
                self._wait()
            return self._exit_code
        finally:
            if self._plan.hooks is not None:
                self._plan.hooks.tell("on_exit")
            self._end_templates()
            self._control.close()
            self._signals.close()

    def _wait(self) -> None:
        """One turn: wait for whatever comes first, and pass it on."""
        self._patience = _STACKS_WITHIN
        ready = {fd for fd, _ in self._poll.poll(self._timeout())}
        for pid, channel in list(self._channels.items()):
            if channel.is_open and channel.fileno() in ready:
                self._listen(pid, channel)
        for template in list(self._templates.values()):
            if template.channel.is_open and template.channel.fileno() in ready:
                self._hear_template(template)
        if self._heir is not None and self._heir.channel.fileno() in ready:
            self._hear_heir(self._heir)
        if self._guest is not None:
            self._be_guest(self._guest, ready)
        if self._watcher is not None and self._watcher.fileno() in ready:
            self._hear_watcher(self._watcher)
        if self._signals.fileno() in ready:
            for number in self._signals.take():
                self._on_signal(number)
        for question in self._control.take(ready):
            self._on_question(question)
        if self._next is not None and self._proven is None and self._coming is None:
            (reason, clients), self._next = self._next, None
            self._reload(reason, clients)
        if self._leaving is not None and self._fleet.is_closed():
            (clients, text), self._leaving = self._leaving, None
            self._tell(clients, True, text)
        now = time.monotonic()
        if (path := self._touched.take(now)) is not None:
            self._reload(f"{printable(path)} was touched")
        serving = [pid for pid in self._slots if self._fleet.is_ready(pid)]
        if (found := self._budget.look(now, serving, self._templates)) is not None:
            self._feed(ev.Renew(*found))
        self._notifier.beat(now)
        if self._plan.metrics is not None:
            self._plan.metrics.send(now, self._board, self._fleet.size, self._plan.listeners)
        self._control.expire(now)
        self._inquiries.expire(now)
        deadline = self._fleet.deadline()
        if deadline is not None and deadline <= now:
            self._feed(ev.Tick())

    def _timeout(self) -> int | None:
        """Milliseconds until the next deadline, rounded up so that it has passed then."""
        deadlines = (
            self._fleet.deadline(),
            self._control.deadline(),
            self._inquiries.deadline(),
            self._notifier.deadline(),
            self._touched.deadline(),
            self._budget.deadline(),
            self._plan.metrics.deadline() if self._plan.metrics is not None else None,
        )
        deadline = min((each for each in deadlines if each is not None), default=None)
        return None if deadline is None else max(0, ceil((deadline - time.monotonic()) * 1000))

    def _on_signal(self, number: int) -> None:
        if number == signal.SIGCHLD:
            for pid, code in reap():
                self._on_exit(pid, code)
        elif number in (signal.SIGTERM, signal.SIGINT):
            self._feed(ev.Stop(name_of(number)))
        elif number == signal.SIGQUIT:
            self._feed(ev.Quit(name_of(number)))
        elif number == signal.SIGHUP:
            self._reload(name_of(number))
        elif number == signal.SIGUSR1:
            self._feed(ev.Reopen())
        elif number in _RESIZE:
            self._feed(ev.Resize(name_of(number), _RESIZE[signal.Signals(number)]))
        elif number == signal.SIGUSR2:
            self._upgrade(name_of(number))
        elif self._heir is not None:  # SIGWINCH, in recipes written for gunicorn; terminals send it too
            self._logs.info(f"{name_of(number)}: the workers go by themselves when the new server has taken over")

    def _reload(self, reason: str, clients: Sequence[Client] = (), is_urgent: bool = False) -> None:
        """Read the configuration again and have it take over; one that is wrong changes nothing.

        `clients` are told how it went. While nobody knows yet whether the last reload can serve, this one waits, unless
        nobody serves at all.
        """
        if (self._proven is not None and self._fleet.is_serving()) or self._coming is not None:
            self._next = (reason, [*(self._next[1] if self._next else ()), *clients])
            return
        self._restore()
        try:
            if not self._fleet.may_reload():
                raise OstlerError("the server is stopping")
            if self._replan is None:
                raise OstlerError("the app was given by a script, which must be started again")
            plan = self._replan(self._fleet.most)
        except OstlerError as error:
            self._fail_reload(reason, error.message, clients)
            return
        self._notifier.reloading()
        if plan.template is None:
            self._roll_out(reason, plan, None, clients, is_urgent)
            return
        self._logs.info(f"{reason}: importing the application anew, for all workers (preload)")
        try:
            adopt_orphans()
            self._coming = reason, plan, self._start_template(plan), list(clients)
        except OSError as error:
            plan.revert()
            self._fail_reload(reason, f"no process for the application: {error.strerror}", clients)

    def _roll_out(
        self, reason: str, plan: Plan, template: Template | None, clients: Sequence[Client], is_urgent: bool = False
    ) -> None:
        """Have the workers of a plan take over."""
        self._waiting += clients  # those of a reload that is not through yet learn how this one went
        self._proven, self._plan = self._plan, plan
        self._proven_template, self._template = self._template, template
        self._touched = Touched(plan.touch_reload, time.monotonic())
        self._budget = Budget(plan.memory_budget, time.monotonic())
        if plan.hooks is not None:
            plan.hooks.tell("on_reload")
        self._feed(ev.Reload(reason, plan.size, plan.timing, plan.batch, is_urgent))

    def _fail_reload(self, reason: str, problem: str, clients: Sequence[Client]) -> None:
        text = f"not reloaded: {problem}; nothing has changed"
        self._logs.error(f"{reason}: {text}")
        self._tell(clients, False, text)

    def _all_listeners(self) -> list[Listener]:
        """Where workers may accept: while a reload is not proven, those of both plans."""
        both = [*self._plan.listeners, *(self._proven.listeners if self._proven is not None else ())]
        both += self._coming[1].listeners if self._coming is not None else ()
        return list(dict.fromkeys(both))

    def _restore(self) -> None:
        """Back to the configuration that is known to work."""
        if self._proven is not None:
            self._plan.revert()
            self._plan, self._proven = self._proven, None
            if self._template is not None:
                self._forget_channel(self._template)
            self._template, self._proven_template = self._proven_template, None

    def _tell(self, clients: Sequence[Client], is_done: bool, text: str) -> None:
        """Answer those who wait for a reload's end."""
        for client in clients:
            self._control.answer(client, text + "\n" if is_done else text, is_error=not is_done)

    def _listen(self, pid: int, channel: Channel) -> None:
        """Pass on what a worker says: a word ("ready", "retire", "failed app", ...), then a text."""
        for message in channel.receive():
            word, _, text = message.partition("\n")
            if word == "ready":
                self._feed(ev.Ready(pid))
            elif word == "closed":
                self._feed(ev.Closed(pid))
            elif word == "stacks":
                self._inquiries.hear(pid, text)
            elif word == "retire":
                self._feed(ev.Retire(pid, printable(text)))
            elif word == "renew":
                self._feed(ev.Renew(pid, printable(text)))
            elif word in ("failed app", "failed boot"):
                self._feed(ev.BootFailed(pid, word == "failed app", text))
            else:
                self._logs.warning(f"process {pid} says {printable(word)!r}: not understood")
        if not channel.is_open:
            self._poll.unregister(channel)

    # --- Upgrades ---

    def _upgrade(self, reason: str, clients: Sequence[Client] = ()) -> None:
        """Start a successor on our sockets: new code, new Python, new ostler, whatever the same command means now."""
        problem = may_upgrade()
        if self._heir is not None:
            problem = f"an upgrade is on its way (pid {self._heir.pid})"
        elif self._host.succeed is None:
            problem = "the server was not started by a command"
        elif self._fleet.state is not FleetState.SERVING:
            problem = f"the server is {self._fleet.state.value}"
        elif self._proven is not None or self._coming is not None or self._guest is not None:
            problem = "a new version is about to take over: try again when it has"
        if not problem:
            assert self._host.succeed is not None
            try:
                pid, channel = self._host.succeed(self._leave_for_heir)
            except OSError as error:
                problem = error.strerror or str(error)
        if problem:
            text = f"not upgraded: {problem}"
            self._logs.error(f"{reason}: {text}")
            self._tell(clients, False, text)
            return
        self._logs.info(f"{reason}: a new server starts (pid {pid}); this one serves until it is ready")
        self._heir = Heir(pid, channel, reason, list(clients))
        self._poll.register(channel, select.POLLIN)

    def _leave_for_heir(self) -> None:
        if self._plan.hooks is not None:
            self._plan.hooks.tell("pre_exec")
        for number in HANDLED:
            signal.signal(number, signal.SIG_DFL)

    def _hear_heir(self, heir: Heir) -> None:
        heir.hear()
        if heir.is_ready:
            self._forget_heir(heir)
            self._control.leave()
            heir.channel.send(YOURS)
            heir.channel.close()
            text = f"upgraded: the server with pid {heir.pid} has taken over"
            self._leaving = heir.clients, text
            self._notifier.succeeded(heir.pid)
            self._feed(ev.Stop(text, is_succeeded=True))
        elif not heir.channel.is_open:
            self._poll.unregister(heir.channel)  # its end follows

    def _forget_heir(self, heir: Heir) -> None:
        self._heir = None
        if heir.channel.is_open:
            self._poll.unregister(heir.channel)

    def _heir_ended(self, heir: Heir, code: int) -> None:
        if heir.channel.is_open:
            self._hear_heir(heir)
        if self._heir is not heir:
            return  # it had been ready
        self._forget_heir(heir)
        heir.channel.close()
        text = f"not upgraded: {heir.problem or f'the new server {how_it_ended(code)}'}; this one serves on"
        self._logs.error(f"{heir.reason}: {text}")
        self._tell(heir.clients, False, text)

    def _be_guest(self, guest: Guest, ready: set[int]) -> None:
        """While another server serves on our sockets."""
        if self._fleet.is_whole():
            guest.say_ready()
        if guest.channel.fileno() in ready and guest.hear():
            self._guest = None
            self._logs.info(f"taken over from the server with pid {guest.pid}")
            self._notifier.ready(self._serving())
            if not self._control.has_own_name:
                self._control.open(self._poll)

    # --- Files that change (development) ---

    def _start_watcher(self) -> None:
        watch = self._plan.watch
        if watch is None:
            return
        try:
            ours, theirs = Channel.pair()
            fork(lambda: self._leave(ours), lambda: watch(theirs), HANDLED)
        except OSError as error:
            self._logs.error(f"files cannot be watched: {error.strerror}")
            return
        theirs.close()
        self._watcher = ours
        self._poll.register(ours, select.POLLIN)

    def _hear_watcher(self, watcher: Channel) -> None:
        changed = watcher.receive()
        if changed:
            self._reload(f"{printable(changed[-1])} has changed", is_urgent=True)
        if not watcher.is_open:
            self._poll.unregister(watcher)
            watcher.close()
            self._watcher = None
            if self._fleet.is_up():
                self._logs.warning("files are not watched any more: the process that did has ended")

    # --- Templates ---

    def _start_template(self, plan: Plan) -> Template:
        """Fork the process that imports the application for the workers of a plan."""
        assert plan.template is not None
        run = plan.template
        ours, theirs = Channel.pair()
        try:
            pid = fork(lambda: self._leave(ours), lambda: run(theirs), HANDLED)
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        template = self._templates[pid] = Template(pid, ours)
        self._poll.register(ours, select.POLLIN)
        return template

    def _hear_template(self, template: Template) -> None:
        for message in template.channel.receive():
            self._take_word(template, message)
        if not template.channel.is_open:
            self._forget_channel(template)

    def _take_word(self, template: Template, message: str) -> bool:
        """A template has the app, or cannot have it."""
        word, _, text = message.partition("\n")
        if word == "ready":
            template.is_ready = template.was_ready = True
            if self._coming is not None and self._coming[2] is template:
                (reason, plan, _, clients), self._coming = self._coming, None
                self._roll_out(reason, plan, template, clients)
            elif self._fleet.state is FleetState.NEW:
                self._feed(ev.Start())
            else:
                self._logs.info("the application is imported again for all workers (preload)")
        elif word in ("failed app", "failed boot"):
            if self._coming is not None and self._coming[2] is template:
                self._drop_coming(text)
            elif self._fleet.state is FleetState.NEW:
                self._feed(ev.GiveUp(APP_CODE if word == "failed app" else BOOT_CODE, text))
            else:
                self._logs.error(text)
        return True

    def _drop_coming(self, problem: str) -> None:
        """A reload whose application cannot be imported."""
        assert self._coming is not None
        (reason, plan, template, clients), self._coming = self._coming, None
        self._forget_channel(template)
        plan.revert()
        self._logs.error(problem)
        self._fail_reload(reason, problem, clients)
        if self._fleet.is_up():
            self._notifier.ready("the last reload has failed; the old version serves")

    def _template_ended(self, template: Template, code: int) -> None:
        if template.channel.is_open:
            self._hear_template(template)  # its last words
        self._forget_channel(template)
        if self._coming is not None and self._coming[2] is template:
            self._drop_coming(f"the process that imports the application {how_it_ended(code)}")
        elif template is self._template and self._fleet.state is FleetState.NEW and self._exit_code is None:
            self._feed(ev.GiveUp(BOOT_CODE, f"the process that imports the application {how_it_ended(code)}"))
        elif template in (self._template, self._proven_template) and template.was_ready and self._fleet.is_up():
            text = f"the process that has the application (preload) {how_it_ended(code)}; a new one is made"
            self._logs.warning(text)

    def _forget_channel(self, template: Template) -> None:
        if template.channel.fileno() >= 0:
            self._poll.unregister(template.channel)
            template.close()

    def _fork_from_template(self, slot: int, age: int, theirs: Channel, dump: Dump) -> int:
        """The pid of a new worker. A template that has died is made anew; until it is there this raises OSError."""
        template = self._template
        if template is None or template.pid not in self._templates:
            template = self._template = self._start_template(self._plan)
        return template.fork(slot, age, theirs, dump, lambda word: self._take_word(template, word))

    def _end_templates(self) -> None:
        if self._coming is not None:
            _, plan, _, clients = self._coming
            self._coming = None
            plan.revert()
            self._tell(clients, False, "the server is stopping")
        for template in self._templates.values():
            self._forget_channel(template)

    def _on_exit(self, pid: int, code: int) -> None:
        if self._heir is not None and pid == self._heir.pid:
            self._heir_ended(self._heir, code)
            return
        if (template := self._templates.pop(pid, None)) is not None:
            self._template_ended(template, code)
            return
        channel = self._channels.pop(pid, None)
        if channel is None:
            return  # an orphan that we inherited
        if self._plan.hooks is not None:
            self._plan.hooks.ended(pid)
        if channel.is_open:
            self._listen(pid, channel)  # its last words come before its death
        if channel.is_open:  # the app has children that hold the other end
            self._poll.unregister(channel)
        channel.close()
        self._dumps.pop(pid).close()
        self._inquiries.hear(pid, "it has ended")
        self._board.set_state(self._slots.pop(pid), STOPPED)
        self._feed(ev.Exited(pid, code))

    def _feed(self, event: ev.Event) -> None:
        """Tell the fleet, do what it wants, tell it what came of that, until it wants nothing more."""
        if self._exit_code is not None:
            return
        events = deque([event])
        while events:
            event = events.popleft()
            try:
                actions = self._fleet.on(event, time.monotonic())
            except ImpossibleEvent as error:  # a fault of ours; the workers go on serving
                self._logs.error(f"please report this fault of ostler: {error}")
                continue
            for action in actions:
                events.extend(self._do(action))
        if self._plan.hooks is not None:
            self._plan.hooks.resized(self._fleet.size)

    def _do(self, action: Action) -> list[ev.Event]:
        """Perform one action; returns what the fleet must hear about it."""
        match action:
            case do.Spawn(slot):
                return [self._spawn(slot)]
            case do.Signal(pid, number):
                os.kill(pid, number)  # it exists, if only as a zombie, until we have reaped it
            case do.Log(level, text):
                self._logs.log(level, text)
            case do.Announce():
                for listener in self._plan.listeners:
                    probes = "probes are answered on {url}"
                    self._logs.info((probes if listener.is_admin else self._plan.welcome).format(url=listener.url))
                self._notifier.ready(self._serving())
                self._host.serves()
                if self._plan.hooks is not None:
                    self._plan.hooks.tell("when_ready")
            case do.NameCut(slot):
                self._name_cut(slot)
            case do.Look():
                self._control.heal()
                return [ev.Look({pid: self._board.heartbeat(slot) for pid, slot in self._slots.items()})]
            case do.Diagnose(slot, pid, silence):
                self._diagnose(slot, pid, silence)
            case do.Withdraw():
                self._board.leave()
                self._notifier.stopping()
            case do.RefuseNewcomers():
                self._notifier.stopping()
                self._board.leave()
                for listener in self._all_listeners() if self._guest is None else ():
                    listener.refuse_newcomers()
            case do.LeaveListeners():
                self._leave_listeners()
            case do.CloseListeners() if self._guest is not None:  # they are another server's
                self._leave_listeners()
            case do.CloseListeners():
                self._end_helpers()
                for listener in self._all_listeners():
                    listener.close()
            case do.ReopenLogs():
                self._control.heal()
                self._logs.reopen()
                for pid in self._templates:
                    os.kill(pid, signal.SIGUSR1)
            case do.Commit():
                self._proven = None
                if self._proven_template is not None:
                    self._forget_channel(self._proven_template)
                    self._proven_template = None
                self._plan.commit()
            case do.Restore():
                self._restore()
            case do.ReloadEnded(is_done, text):
                self._tell(self._waiting, is_done, text)
                self._waiting = []
                if self._fleet.is_up():
                    failed = "the last reload has failed; the old version serves"
                    self._notifier.ready(self._serving() if is_done else failed)
            case do.Exit(code):
                self._exit_code = code
        return []

    def _leave_listeners(self) -> None:
        self._end_helpers()
        for listener in self._all_listeners():
            listener.socket.close()

    def _end_helpers(self) -> None:
        """No more workers will be forked, nobody has to know of changes."""
        self._end_templates()
        if self._watcher is not None:
            self._poll.unregister(self._watcher)
            self._watcher.close()
            self._watcher = None

    def _serving(self) -> str:
        """ "2 workers serve http://127.0.0.1:8000"."""
        size, urls = self._fleet.size, [listener.url for listener in self._plan.listeners if not listener.is_admin]
        return f"{size} worker{'s serve' if size > 1 else ' serves'} {', '.join(urls)}"

    def _spawn(self, slot: int) -> ev.Event:
        try:
            dump = Dump()
        except OSError as error:  # EMFILE, ENFILE
            return ev.SpawnFailed(slot, error.strerror or str(error))
        try:
            ours, theirs = Channel.pair()
        except OSError as error:
            dump.close()
            return ev.SpawnFailed(slot, error.strerror or str(error))

        def prepare() -> None:
            self._leave(ours)

        def main() -> int:
            return self._plan.work(slot, theirs, dump)

        hooks = self._plan.hooks
        hooked = hooks.forking() if hooks is not None else None
        try:
            if self._plan.template is not None:
                pid = self._fork_from_template(slot, hooked.age if hooked else 0, theirs, dump)
            else:
                pid = fork(prepare, main, HANDLED)
        except OSError as error:  # EAGAIN, ENOMEM
            ours.close()
            dump.close()
            return ev.SpawnFailed(slot, error.strerror or str(error))
        finally:
            theirs.close()
        if hooks is not None and hooked is not None:
            hooks.forked(hooked, pid)
        self._channels[pid] = ours
        self._slots[pid] = slot
        self._dumps[pid] = dump
        self._poll.register(ours, select.POLLIN)
        return ev.Started(slot, pid)

    def _leave(self, ours: Channel) -> None:
        """In the child: close what is the arbiter's, so that its end is seen by all, and take its handlers off."""
        self._signals.abandon()
        self._control.abandon()
        for number in HANDLED:
            signal.signal(number, signal.SIG_DFL)
        templates = [each.channel for each in self._templates.values()]
        others = [each.channel for each in (self._heir, self._guest) if each is not None]
        others += [self._watcher] if self._watcher is not None else []
        for channel in (ours, *self._channels.values(), *templates, *others):
            channel.close()
        self._channels.clear()
        for dump in self._dumps.values():  # its own is not among them yet
            dump.close()
        self._dumps.clear()

    def _on_question(self, question: Question) -> None:
        """Answer the control socket."""
        client, words = question
        if words == ["reload"]:
            self._control.wait(client)
            self._reload("ostler reload", [client])
            return
        if words == ["upgrade"]:
            self._control.wait(client)
            self._upgrade("ostler upgrade", [client])
            return
        if words == ["stop"]:
            self._control.wait(client)  # our end is the answer
            self._feed(ev.Stop("ostler ctl stop"))
            return
        if words == ["status"]:
            self._control.answer(client, self._status())
            return
        if words == ["config"]:
            self._control.answer(client, self._plan.shown)
            return
        if words[:1] == ["log-level"] and len(words) == 2:
            self._set_log_level(client, words[1])
            return
        if words[:1] == ["scale"] and len(words) == 2 and words[1].isdecimal():
            self._scale(client, int(words[1]))
            return
        if words[:1] != ["stacks"] or len(words) > 2:
            self._control.answer(client, f"unknown question {printable(' '.join(words))!r}", is_error=True)
            return
        living = {slot: pid for pid, slot in self._slots.items() if self._fleet.is_ready(pid)}
        if words[1:]:
            living = {slot: pid for slot, pid in living.items() if str(slot) == words[1]}
        if not living:
            which = f"worker {printable(words[1])}" if words[1:] else "a worker"
            self._control.answer(client, f"{which} that is ready is not there", is_error=True)
            return
        self._inquiries.begin(client, {pid: f"worker {slot} (pid {pid})" for slot, pid in sorted(living.items())})
        for pid in living.values():
            os.kill(pid, STACKS)

    def _status(self) -> dict[str, Any]:
        return status(self._fleet, self._board, self._plan, self._started_ns, time.monotonic_ns())

    def _set_log_level(self, client: Client, word: str) -> None:
        level = LEVELS.get(word)
        if level is None:
            self._control.answer(client, f"there are the levels {', '.join(LEVELS)}", is_error=True)
            return
        self._logs.level = level
        self._board.log_level = level
        self._feed(ev.Reopen())  # with the word that everybody looks at once
        self._control.answer(client, f"lines from {word} on are written\n")

    def _scale(self, client: Client, size: int) -> None:
        before = self._fleet.size
        if size < 1 or size > self._fleet.most:
            text = f"from 1 to {self._fleet.most} workers are possible without a restart"
            self._control.answer(client, text, is_error=True)
            return
        if size != before:
            self._feed(ev.Resize("ostler ctl scale", size - before))
        after = self._fleet.size
        self._control.answer(client, f"{counted(after, 'worker')}, {before} before\n", is_error=after != size)

    def _take_stacks(self, pid: int) -> str:
        """The stacks of a worker that cannot tell them itself."""
        threads = threads_of(pid)
        if not can_answer(threads):
            return "it is stopped, or waits in the kernel"
        requests = (
            f"{printable(request.method)} {printable(request.path)} in thread {request.tid}"
            for request in self._board.in_flight(self._slots[pid])
        )
        dump = self._dumps[pid].take(pid, _STACKS_WITHIN)
        return "\n".join(["it runs no Python code now: native code keeps the interpreter's lock", *requests, "", dump])

    def _diagnose(self, slot: int, pid: int, silence: float) -> None:
        threads = threads_of(pid)
        requests = self._board.in_flight(slot)
        started = time.monotonic()
        wait = max(_STACKS_MINIMUM, self._patience)
        stacks = self._dumps[pid].take(pid, wait) if can_answer(threads) else ""
        self._patience -= time.monotonic() - started
        worker = f"worker {slot} (pid {pid})"
        self._logs.error(explain(worker, silence, threads, requests, stacks, time.monotonic_ns()))

    def _name_cut(self, slot: int) -> None:
        now = time.monotonic_ns()
        for request in self._board.in_flight(slot):
            age = (now - request.start_ns) / 1e9
            what = f"{printable(request.method)} {printable(request.path)}"
            self._logs.warning(f"worker {slot}: cut {what} after {age:.1f}s")
