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

from ostler.arbiter import actions as do
from ostler.arbiter import events as ev
from ostler.arbiter.actions import Action
from ostler.arbiter.diagnosis import can_answer, explain
from ostler.arbiter.fleet import Fleet, ImpossibleEvent
from ostler.arbiter.inquiries import Inquiries
from ostler.arbiter.plan import Plan, Replan
from ostler.arbiter.status import status
from ostler.arbiter.touched import Touched
from ostler.control.server import Client, ControlServer, Question
from ostler.errors import OstlerError
from ostler.logs import Logs, counted, printable
from ostler.proc.channel import Channel
from ostler.proc.dump import Dump
from ostler.proc.fork import fork
from ostler.proc.notify import Notifier
from ostler.proc.reap import reap
from ostler.proc.signals import STACKS, SignalQueue, name_of
from ostler.proc.sockets import Listener
from ostler.proc.threads import threads_of
from ostler.stats.scoreboard import STOPPED, Scoreboard

__all__ = ["HANDLED", "Arbiter"]

# gunicorn's verbs that we have not; their default action would end the server.
_UNKNOWN = (signal.SIGUSR2,)
_RESIZE = {signal.SIGTTIN: 1, signal.SIGTTOU: -1}
HANDLED = frozenset(
    (
        signal.SIGTERM,
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGHUP,
        signal.SIGUSR1,
        signal.SIGCHLD,
        *_RESIZE,
        *_UNKNOWN,
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
        replan: Replan | None = None,
        control: str | None = None,
        notifier: Notifier | None = None,
    ) -> None:
        self._fleet = fleet
        self._plan = plan
        self._proven: Plan | None = None  # the one to go back to, while a reload is not proven
        self._board = board
        self._logs = logs
        self._replan = replan
        self._waiting: list[Client] = []  # for the end of the reload that is on its way
        self._next: tuple[str, list[Client]] | None = None  # a reload that came while another one was not proven
        self._channels: dict[int, Channel] = {}  # pid -> our end; a worker's process has one until it is reaped
        self._slots: dict[int, int] = {}  # pid -> slot
        self._dumps: dict[int, Dump] = {}  # pid -> where the process writes its stacks when it is asked
        self._notifier = notifier or Notifier({})
        self._touched = Touched(plan.touch_reload, time.monotonic())
        self._started_ns = time.monotonic_ns()
        self._patience = 0.0  # what is left of _STACKS_WITHIN in this turn
        self._poll = select.poll()
        self._control = ControlServer(control, logs)
        self._inquiries = Inquiries(self._control.answer, self._take_stacks)
        self._exit_code: int | None = None

    def run(self) -> int:
        """Start the fleet and look after it until its end."""
        self._signals = SignalQueue(HANDLED)
        try:
            self._poll.register(self._signals, select.POLLIN)
            self._control.open(self._poll)
            self._feed(ev.Start())
            while self._exit_code is None:
                self._wait()
            return self._exit_code
        finally:
            self._control.close()
            self._signals.close()

    def _wait(self) -> None:
        """One turn: wait for whatever comes first, and pass it on."""
        self._patience = _STACKS_WITHIN
        ready = {fd for fd, _ in self._poll.poll(self._timeout())}
        for pid, channel in list(self._channels.items()):
            if channel.is_open and channel.fileno() in ready:
                self._listen(pid, channel)
        if self._signals.fileno() in ready:
            for number in self._signals.take():
                self._on_signal(number)
        for question in self._control.take(ready):
            self._on_question(question)
        if self._next is not None and self._proven is None:
            (reason, clients), self._next = self._next, None
            self._reload(reason, clients)
        now = time.monotonic()
        if (path := self._touched.take(now)) is not None:
            self._reload(f"{printable(path)} was touched")
        self._notifier.beat(now)
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
        else:
            self._logs.warning(f"{name_of(number)} ignored: this version has no use for it")

    def _reload(self, reason: str, clients: Sequence[Client] = ()) -> None:
        """Read the configuration again and have it take over; one that is wrong changes nothing.

        `clients` are told how it went. While nobody knows yet whether the last reload can serve, this one waits, unless
        nobody serves at all.
        """
        if self._proven is not None and self._fleet.is_serving():
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
            text = f"not reloaded: {error.message}; nothing has changed"
            self._logs.error(f"{reason}: {text}")
            self._tell(clients, False, text)
            return
        self._waiting += clients  # those of a reload that is not through yet learn how this one went
        self._proven, self._plan = self._plan, plan
        self._touched = Touched(plan.touch_reload, time.monotonic())
        self._notifier.reloading()
        self._feed(ev.Reload(reason, plan.size, plan.timing, plan.batch))

    def _all_listeners(self) -> list[Listener]:
        """Where workers may accept: while a reload is not proven, those of both plans."""
        both = [*self._plan.listeners, *(self._proven.listeners if self._proven is not None else ())]
        return list(dict.fromkeys(both))

    def _restore(self) -> None:
        """Back to the configuration that is known to work."""
        if self._proven is not None:
            self._plan.revert()
            self._plan, self._proven = self._proven, None

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

    def _on_exit(self, pid: int, code: int) -> None:
        channel = self._channels.pop(pid, None)
        if channel is None:
            return  # an orphan that we inherited
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
                for listener in self._all_listeners():
                    listener.refuse_newcomers()
            case do.CloseListeners():
                for listener in self._all_listeners():
                    listener.close()
            case do.ReopenLogs():
                self._control.heal()
                self._logs.reopen()
            case do.Commit():
                self._proven = None
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

        try:
            pid = fork(prepare, main, HANDLED)
        except OSError as error:  # EAGAIN, ENOMEM
            ours.close()
            dump.close()
            return ev.SpawnFailed(slot, error.strerror or str(error))
        finally:
            theirs.close()
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
        for channel in (ours, *self._channels.values()):
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
        if words == ["stop"]:
            self._control.wait(client)  # our end is the answer
            self._feed(ev.Stop("ostler ctl stop"))
            return
        if words == ["status"]:
            self._control.answer(client, self._status())
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

    def _status(self) -> str:
        import json  # for those who ask

        known = status(self._fleet, self._board, self._plan, self._started_ns, time.monotonic_ns())
        return json.dumps(known) + "\n"

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
