"""A worker's life, in order: parent's death, the app, signals, the core, its threads, ready; then drain and end.

The supervisor's thread never runs the app: it waits for signals, for the arbiter's end and for the drain. So whatever
the app's threads do, the worker can be told to stop, and can say which requests it cuts. It is the main thread, unless
that one runs the event loop, or all requests of a worker that has one thread for them: what an app makes while it is
imported is of the thread then that its requests run in.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Sequence
from math import ceil
from typing import TYPE_CHECKING, Any, NoReturn

from hostler.errors import AppLoadError, BootError
from hostler.logs import LEVELS, facts, printable
from hostler.proc.channel import Channel
from hostler.proc.fork import finish, leave
from hostler.proc.signals import LEAVE, STACKS, SignalQueue
from hostler.stats.scoreboard import DRAINING, READY, Scoreboard
from hostler.worker import greenlets
from hostler.worker.about import describe
from hostler.worker.app_threads import AppThreads
from hostler.worker.boot import (
    adopt_loggers,
    become_user,
    fit_driver,
    leave_terminal,
    load,
    report,
    watch_arbiter,
    withstand_signals,
)  # fmt: skip
from hostler.worker.drain import Drain
from hostler.worker.handlers import after_import, before_import
from hostler.worker.interfaces import Mounted
from hostler.worker.main_thread import beside
from hostler.worker.raw_socket import RawSockets
from hostler.worker.relay import Relay, start_relays
from hostler.worker.settings import core_settings
from hostler.worker.stacks import render, stack_of_thread
from hostler.worker.starting import await_start
from hostler.worker.vitals import Vitals
from hostler.worker.watchdog import Watchdog
from hostler.worker.wear import Wear

if TYPE_CHECKING:
    from hostler.config import Config
    from hostler.hooks import Hooks
    from hostler.hooks import Worker as HookedWorker
    from hostler.logs import Logs
    from hostler.native import Core
    from hostler.proc.dump import Dump
    from hostler.proc.sockets import Listener
    from hostler.worker.event_loop import EventLoop
    from hostler.worker.loop_lag import LoopLag
    from hostler.worker.loop_signals import LoopSignals

__all__ = ["Worker"]

# What they mean here is no affair of the app's forked children: there they mean the end, as everywhere.
_ENDING: list[int] = [signal.SIGTERM, signal.SIGQUIT]
_SIGNALS = (signal.SIGTERM, signal.SIGQUIT, signal.SIGUSR1, LEAVE, STACKS)
# So often the supervisor comes by within worker_timeout: somewhat more often than the arbiter looks.
_BEATS = 5
# From the arbiter's death to ours: the drain, then everything.
_ORPHAN_DRAIN = 0.7
_ORPHAN_END = 0.9
# After graceful_timeout: what the iterators of responses that were cut get for their close().
_CLOSING = 0.5
# What threads that are through get to end, when others will not.
_LAST_MOMENT = 0.2


class Worker:
    """One worker process, from the fork to its end."""

    def __init__(
        self,
        config: Config,
        listeners: Sequence[Listener],
        board: Scoreboard,
        slot: int,
        channel: Channel,
        dump: Dump,
        logs: Logs,
        app: Callable[..., Any] | None = None,
        apps: list[Mounted] | None = None,
        hooks: Hooks | None = None,
        age: int = 0,
        end: Callable[[int], NoReturn] | None = None,
        inboxes: Sequence[tuple[int, int]] = (),
    ) -> None:
        self._config = config
        self._listeners = listeners
        self._board = board
        self._slot = slot
        self._channel = channel
        self._dump = dump
        self._logs = logs
        self._app = app  # given by a script; None: to be imported
        self._apps = apps  # of the template that we were forked from; None: to be loaded
        self._relays: list[Relay] = []  # of the core's lines, where logging or syslog wants them
        self._hooks = hooks
        self._end_process = end  # what ends the process when all is done; None: we do
        self._inboxes = inboxes
        self._age = age  # its number among all workers, where hooks want to know
        self._hooked: HookedWorker | None = None  # what hooks get of us
        self._greenlets: greenlets.Greenlets | None = None
        self._event_loop: EventLoop | None = None
        self._loop_signals: LoopSignals | None = None
        self._lag: LoopLag | None = None
        self._runs_in_main = False  # WSGI requests, in the main thread
        self._deadline = 0.0  # of the end, once the drain is over
        self._drain = Drain(float(config.stream_drain))
        self._raw_sockets = RawSockets()
        self._has_named_cut = False
        self._wear = Wear(config, time.monotonic())
        self._vitals = Vitals(board, slot, config.threads or config.max_threads)

    def run(self) -> int:
        """Boot, serve, drain. Returns an exit code when the boot fails, else ends the process."""
        self._board.begin(self._slot, os.getpid())
        self._prepare_boot()
        try:
            if self._hooks is not None:
                greenlets.prepare(self._config.driver)
                self._hooked = self._hooks.begin(self._age)
            if self._apps is None:
                become_user(self._config)
                self._apps = load(self._config, self._logs, self._app)
            self._config = fit_driver(self._config, self._apps, self._logs)
            apps = self._with_hooks(self._apps)
            adopt_loggers(self._config, self._logs)
            self._take_signals()
            self._core = self._open_core(apps)
            self._core.keep_from_children([*self._signals.descriptors, self._channel.fileno()], _ENDING)
            self._live(apps)
        except (AppLoadError, BootError) as error:
            return report(self._channel, error)
        return self._end()

    def _live(self, apps: list[Mounted]) -> None:
        """From the core's start to the drain's end. Raises BootError for what does not start."""
        self._dump.register()
        withstand_signals(self._logs)  # in the main thread, which signals come to
        if any(app.is_asgi for app in apps):
            self._make_loop(apps)
        else:
            self._runs_in_main = self._config.threads == 1 and self._config.driver != "gevent"
        self._threads = AppThreads(self._core, self._logs, self._runs_in_main)
        if self._event_loop is None:
            self._start()
        main = self._event_loop or (self._threads if self._runs_in_main else None)
        if main is None:
            self._supervise()
        else:
            beside(main.run, self._supervise)

    def _supervise(self) -> None:
        """From the start of the applications to the drain's end."""
        if self._event_loop is not None:
            if not await_start(self._event_loop, self._signals, self._channel, self._logs, self._keep_time):
                return  # the loop's `run` raises the reason
            try:
                self._start()
            except BootError as error:
                self._event_loop.fail(error)
                return
        self._watchdog = Watchdog(self._config, self._core, self._logs, self._listeners, self._retire, self._stack_of)
        self._wear = Wear(self._config, time.monotonic())  # it begins to serve now
        self._announce(describe(self._config, self._apps or []))
        self._wind_up(self._serve())

    # --- Boot ---

    def _prepare_boot(self) -> None:
        """Nothing polls while the app is imported: let the kernel end us, on TERM and when the arbiter dies."""
        self._handlers = before_import(self._logs.reopen)
        self._channel.die_with_peer(True)

    def _with_hooks(self, apps: list[Mounted]) -> list[Mounted]:
        """The applications as they are called: with the request hooks around them, where there are any."""
        hooks, worker = self._hooks, self._hooked
        if hooks is None or worker is None:
            return apps
        worker.wsgi = apps[0].app
        hooks.call("post_worker_init", worker)
        worker.booted = True
        return [each._replace(app=hooks.wrap(worker, each.app, each.is_asgi)) for each in apps]

    def _call_hook(self, name: str, *before: object) -> None:
        if self._hooks is not None and self._hooked is not None:
            self._hooks.call(name, *before, self._hooked)

    def _take_signals(self) -> None:
        """Before anything is accepted: from here on TERM drains."""
        try:
            after_import(self._handlers, self._logs)
        except ImportError as error:
            raise BootError(f"the native core does not start: {error!r}") from error
        self._signals = SignalQueue(_SIGNALS, self._pass_on, restarts=True)

    def _pass_on(self, number: int) -> None:
        """A signal that is the app's has come: its handler runs as soon as the main thread runs Python code."""
        if self._loop_signals is not None:
            self._loop_signals.pass_on(number)
        elif self._runs_in_main:
            self._core.visit_main()

    def _open_core(self, apps: list[Mounted]) -> Core:
        try:
            self._relays = start_relays(self._logs)
            from hostler.native import Core

            return Core(
                [None if app.is_asgi else app.app for app in apps],
                core_settings(self._config, self._logs, apps, self._inboxes),
                [(each.socket.fileno(), *each.host, each.is_unix, each.is_admin) for each in self._listeners],
                self._board.mapping,
                self._slot,
                self._logs.errors_stream(),
                self._logs.app_error,
                greenlets.wait_writable if self._config.driver == "gevent" else None,
                self._raw_sockets.offer,
            )
        except Exception as error:  # whatever a native module may raise: it is not the app's fault
            raise BootError(f"the native core does not start: {error!r}") from error

    def _start(self) -> None:
        try:
            if self._config.driver == "gevent":
                self._greenlets = greenlets.Greenlets(self._core, self._config.threads or self._config.max_threads)
                self._greenlets.start()
            self._core.start()
            self._threads.start(self._core.attend()[0])
        except (OSError, RuntimeError) as error:  # RuntimeError: no more threads
            raise BootError(f"the worker does not start: {error}") from error

    def _make_loop(self, apps: list[Mounted]) -> None:
        from hostler.worker.event_loop import EventLoop
        from hostler.worker.loop_lag import LoopLag
        from hostler.worker.loop_signals import LoopSignals

        signals = self._loop_signals = LoopSignals(self._signals, self._logs)
        loop = EventLoop(self._config, self._core, self._logs, apps, self._listeners, signals)
        self._event_loop = loop
        self._lag = LoopLag(
            float(self._config.loop_lag),
            float(self._config.worker_timeout),
            self._logs,
            loop.call_soon,
            loop.stack,
            self._retire,
        )

    def _keep_time(self) -> int:
        """Do what is due in every state of the worker; returns the milliseconds until it is to be called again."""
        self._board.beat(self._slot)
        if self._vitals.look(time.monotonic()):
            self._core.look_at_listeners()
        return self._timeout()

    def _stack_of(self, thread: int) -> str:
        """Where the request is that runs in this thread, greenlet, or (below 0) task."""
        if thread < 0 and self._event_loop is not None:
            return self._event_loop.stack_of(-thread - 1)
        return self._greenlets.stack_of(thread) if self._greenlets else stack_of_thread(thread)

    def _announce(self, about: str) -> None:
        watch_arbiter(self._channel, _ORPHAN_END, self._logs)  # from here on there is time for the drain
        self._board.set_state(self._slot, READY)
        leave_terminal(self._config)
        self._channel.send(f"ready\n{about}".rstrip())

    # --- Life ---

    def _serve(self) -> bool:
        """Wait until the drain is over; False: it was not in time."""
        poll = select.poll()
        for fd in (
            self._signals.fileno(),
            self._channel.fileno(),
            self._core.attention_fd(),
            self._core.drained_fd(),
        ):
            poll.register(fd, select.POLLIN)
        while True:
            if self._lag is not None:
                self._lag.look(time.monotonic())
            if (reason := self._wear.look(time.monotonic())) is not None:
                self._renew(reason)
            ready = {fd for fd, _ in poll.poll(self._keep_time())}
            if self._core.is_forked():
                self._end_child()
            for number in self._signals.take():
                self._on_signal(number)
                self._pass_on(number)  # the app may have a handler of its own beside ours
            if self._core.attention_fd() in ready:
                self._attend()
            self._threads.bury()
            if self._channel.fileno() in ready:
                self._channel.receive()
                if not self._channel.is_open:
                    poll.unregister(self._channel)
                    self._on_orphaned()
            if self._drain.ends_streams(time.monotonic()) and self._event_loop is not None:
                self._event_loop.end_streams()
            if self._drain.has_begun and self._core.is_drained():
                return True
            if self._drain.is_late(time.monotonic()):
                return False

    def _end_child(self) -> NoReturn:
        """An app's child has come back to here: see forked.rs. Or its hub runs this greenlet beside its own."""
        if self._greenlets is not None:
            self._greenlets.rest()
        leave(0)

    def _attend(self) -> None:
        """Do what the core wants of Python: start threads, bury those that left, say what takes long."""
        if self._event_loop is not None and (fault := self._event_loop.take_fault()) is not None:
            self._retire(fault)
        wanted, notices = self._core.attend()
        self._threads.start_more(wanted)
        for kind, request in notices:
            if kind == "worn":
                self._renew(f"max_requests={self._config.max_requests}")
            else:
                self._watchdog.hear(kind, request)

    def _retire(self, reason: str) -> None:
        if self._hooked is not None:
            self._hooked.aborted = True
        self._call_hook("worker_abort")
        self._channel.send(f"retire\n{reason}")

    def _renew(self, reason: str) -> None:
        """As `_retire`, for what is nobody's fault."""
        self._channel.send(f"renew\n{reason}")

    def _timeout(self) -> int:
        """Milliseconds until the deadline, until there is something to look at, or until the arbiter looks at us."""
        now = time.monotonic()
        waits = [self._vitals.due(now)]
        if self._config.worker_timeout:
            waits.append(self._config.worker_timeout / _BEATS)
        if self._lag is not None and self._lag.interval is not None:
            waits.append(self._lag.interval)
        if self._wear.interval is not None and not self._wear.is_due:
            waits.append(self._wear.interval)
        if (wait := self._threads.wait) is not None:
            waits.append(wait)
        if (wait := self._drain.wait(now)) is not None:
            waits.append(wait)
        return ceil(min(waits) * 1000)

    def _on_signal(self, number: int) -> None:
        if number == signal.SIGTERM:
            self._leave(float(self._config.graceful_timeout))
        elif number == LEAVE:
            self._leave(None)
        elif number == signal.SIGQUIT:
            self._call_hook("worker_int")
            self._cut()
        elif number == signal.SIGUSR1:
            self._logs.reopen()
            if (level := self._board.log_level) in LEVELS.values():  # every worker can write there
                self._logs.level = level
                self._core.set_log_level(level)
        elif number == STACKS:
            frames = self._greenlets.frames() if self._greenlets else None
            self._channel.send(f"stacks\n{render(self._core.in_flight(), frames, self._stack_of)}")

    def _on_orphaned(self) -> None:
        """The arbiter is gone. A timer of the kernel ends us in time, whatever the app does (`watch_arbiter`)."""
        self._logs.error("the arbiter is gone; this worker ends")
        self._leave(_ORPHAN_DRAIN)

    def _leave(self, seconds: float | None) -> None:
        """Take what the kernel has queued, then leave the port to others. None: nothing that is open is cut for it."""
        if not self._drain.has_begun:
            self._board.set_state(self._slot, DRAINING)
            self._core.drain()
            for listener in self._listeners:
                listener.socket.close()
            self._channel.send("closed")
        if self._drain.begin(seconds, time.monotonic()):
            self._core.close_websockets()
            self._raw_sockets.end_reading()

    # --- End ---

    def _wind_up(self, is_drained: bool) -> None:
        """End what runs requests, in the supervisor."""
        now = time.monotonic()
        deadline = self._drain.deadline or now + float(self._config.graceful_timeout)
        if not is_drained:
            self._name_cut()
            self._core.cut()
            deadline = now + _CLOSING
        self._core.stop()
        if self._core.abandoned():  # their clients have their answers, and the others are through
            deadline = min(deadline, time.monotonic() + _LAST_MOMENT)
        if self._event_loop and not self._event_loop.stop(deadline if is_drained else now):
            self._cut()
        if self._greenlets and not self._greenlets.join(deadline - time.monotonic()):
            self._cut()
        if not self._threads.join(deadline):
            self._cut()
        self._core.close()
        for relay in self._relays:
            relay.close(deadline - time.monotonic())
        self._deadline = deadline

    def _end(self) -> NoReturn:
        """End the process, in the main thread."""
        self._say_goodbye()
        if self._end_process is not None:
            self._end_process(0)
        finish(0, max(_LAST_MOMENT, self._deadline - time.monotonic()), self._log_late_end)

    def _log_late_end(self) -> None:
        text = "clean-up of the application cut; its threads, atexit and children have what is left of graceful_timeout"
        self._logs.warning(text)

    def _cut(self) -> None:
        """End at once, and say what that ends."""
        self._name_cut()
        self._core.flush_logs()
        for relay in self._relays:
            relay.close(_LAST_MOMENT)
        self._say_goodbye()
        leave(0)

    def _name_cut(self) -> None:
        """Say which requests are cut, and refuse those that have not begun; once."""
        if self._has_named_cut:
            return
        self._has_named_cut = True
        for method, path, client, age, _ in self._core.in_flight():
            what, client = f"{printable(method)} {printable(path)}", printable(client) or "-"
            self._logs.warning(f"request cut {facts(request=what, client=client, after=f'{age:.1f}s')}")
        self._core.turn_away("the worker ends before it could run this request")

    def _say_goodbye(self) -> None:
        if self._hooks is not None:
            self._call_hook("worker_exit", self._hooks.server)
