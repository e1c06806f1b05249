"""Arbiter and worker put together: the only place that knows both."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from math import ceil
from typing import TYPE_CHECKING, Any

from hostler import __version__
from hostler.arbiter.arbiter import Arbiter
from hostler.arbiter.fleet import Fleet
from hostler.arbiter.host import Host
from hostler.arbiter.listeners import Listeners
from hostler.arbiter.metrics import Statsd
from hostler.arbiter.plan import Plan
from hostler.arbiter.scaling import Bounds
from hostler.arbiter.timing import Timing
from hostler.errors import HostlerError
from hostler.logs import Logs, counted, ensure_standard_streams
from hostler.proc import identity, signals
from hostler.proc.daemon import detach
from hostler.proc.handover import inherit, start
from hostler.proc.inboxes import Inboxes
from hostler.proc.limits import raise_open_files
from hostler.proc.machine import memory_limit, processors
from hostler.proc.notify import Notifier
from hostler.proc.patches import set_aside
from hostler.proc.pidfile import Pidfile
from hostler.proc.places import Ids
from hostler.proc.title import set_title
from hostler.stats.scoreboard import Scoreboard

if TYPE_CHECKING:
    from hostler.config import Config
    from hostler.hooks import Hooks
    from hostler.proc.channel import Channel
    from hostler.proc.dump import Dump
    from hostler.proc.handover import Inheritance
    from hostler.proc.sockets import Listener
    from hostler.worker.interfaces import Mounted

__all__ = ["run"]

# How long TCP handshakes that have begun may take, once newcomers are refused. Measured with 60 clients at a
# round trip of 4 and 20 ms: without it a stop resets 21 and 15 connections, with it none. Who is farther away
# comes through a proxy that is not.
_HANDSHAKES = 0.1
# There is room on the scoreboard for so many times as many workers as are asked for, and for so many at least: reloads
# and SIGTTIN may ask for more. A slot that nobody uses takes no memory.
_ROOM = 4
_LEAST_ROOM = 128
# So many workers more than twice those that are planned can have connections handed to them: `hostler ctl scale`.
_INBOXES = 12
# Of the control group's memory, what a fleet that sizes itself may have: files that are read want some as well.
_OF_LIMIT = 0.9
# What is settled when the server starts.
_FIXED = (
    "control", "daemon", "pidfile", "proc_name", "reload", "reload_extra_files", "reuse_port", "umask", "unix_mode",
)  # fmt: skip


def run(config: Config, app: Callable[..., Any] | None = None, reread: Callable[[], Config] | None = None) -> int:
    """Serve `app` (None: the one that `config` names) until a signal ends it; returns the exit code.

    `reread` makes the configuration anew, for a reload; called in the directory that we were started in.
    """
    threading = sys.modules.get("threading")
    if threading is not None and threading.current_thread() is not threading.main_thread():
        raise HostlerError("a server can be started by the main thread only: signals come to no other")
    handlers = signals.remember_early()  # again, where the command has done so
    try:
        with set_aside():
            return _run(config, app, reread)
    finally:
        signals.restore(handlers)


def _run(config: Config, app: Callable[..., Any] | None, reread: Callable[[], Config] | None) -> int:
    ensure_standard_streams()
    before = inherit(os.environ)
    home = _logical_directory()
    if config.chdir is not None:
        os.chdir(config.chdir)
    if config.umask is not None:
        os.umask(config.umask)
    logs = Logs(config.error_log, config.access_log, config.log_level, _owner(config))
    logs.is_json = config.error_log_format == "json"
    _say(config, logs)
    serves = _detach(config, logs) if config.daemon == "on" and before is None else None
    _name(config, "arbiter")
    pidfile = Pidfile(config.pidfile) if config.pidfile is not None else None
    service = _Service(config, app, reread, home, logs)
    try:
        raise_open_files()
        if pidfile is not None and before is None:
            pidfile.write()
        return service.run(serves, before, pidfile)
    finally:
        service.close()
        if pidfile is not None:
            pidfile.remove()
        logs.close()


class _Service:
    """What is served, over all reloads."""

    def __init__(
        self,
        config: Config,
        app: Callable[..., Any] | None,
        reread: Callable[[], Config] | None,
        home: str,
        logs: Logs,
    ) -> None:
        self.listeners = Listeners(logs)
        self._config = config
        self._app = app
        self._reread = reread
        self._home = home  # where relative paths begin
        self._logs = logs
        self._most = 0  # workers that there is room for; 0: not settled yet
        self._board: Scoreboard | None = None  # from the first plan on
        self._inboxes = Inboxes(0)
        self._last_hooks: Hooks | None = None  # who knows the workers, and what was told already
        self._last_metrics: Statsd | None = None
        self._open: Sequence[Listener] = ()
        self._is_guest = False  # while the sockets are those of a server that we take over from

    def run(self, serves: Callable[[], None] | None, before: Inheritance | None, pidfile: Pidfile | None) -> int:
        """Listen, start the workers, and look after them until the end.

        `serves` is called when the first worker is ready. `before`: the server whose sockets we take over.
        """
        if before is not None:
            self._is_guest = True
            self.listeners.inherit(before.sockets)
        plan = self._plan(self._config)
        self._open = plan.listeners
        if plan.hooks is not None:
            plan.hooks.starting()
        at_most = 2 * plan.bounds.most if plan.bounds is not None else 0
        if before is not None and plan.bounds is not None:  # it has found how many are needed
            plan = plan._replace(size=min(max(before.size, plan.bounds.least), plan.bounds.most))
        fleet = Fleet(plan.size, plan.timing, max(_ROOM * plan.size, _LEAST_ROOM, at_most))
        board = self._board = Scoreboard(fleet.slots)
        self._most = fleet.most
        self._inboxes = Inboxes(min(fleet.slots, 2 * max(plan.size, at_most // 2) + _INBOXES))
        notifier = Notifier(os.environ)

        def own() -> None:
            self._is_guest = False
            self.listeners.keep(plan.listeners)
            try:
                if pidfile is not None and before is not None:
                    pidfile.write(heir_of=before.pid)
            except HostlerError as error:
                self._logs.warning(error.message)

        def succeed(prepare: Callable[[], None]) -> tuple[int, Channel]:
            environ, sockets = {**os.environ, **notifier.variables}, self.listeners.passed_on()
            return start(sys.orig_argv, self._home, environ, sockets, fleet.size, prepare)

        host = Host(
            replan=self._replan if self._reread else None,
            control=self._config.control,
            notifier=notifier,
            succeed=succeed,
            before=before,
            own=own,
            directory=self._home,
            inboxes=self._inboxes,
        )
        return Arbiter(fleet, plan, board, self._logs, host._replace(serves=serves) if serves else host).run()

    def close(self) -> None:
        """Close what is open in this process; what another server has open too stays as it is."""
        if self._is_guest:
            self.listeners.let_go()
        else:
            self.listeners.close()

    def _plan(self, config: Config) -> Plan:
        self._use_sinks(config)
        hooks = self._hooks(config)
        metrics = self._metrics(config)
        opened = self.listeners.open(
            config.bind,
            backlog=config.backlog,
            unix_mode=config.unix_mode,
            admin=config.admin_bind,
            owner=_owner(config),
            reuse_port=config.reuse_port == "on",
        )
        if hooks is not None:
            hooks.listening(opened)
        has_door = any(listener.is_ours and not listener.is_unix for listener in opened)
        timing = Timing(
            config.graceful_timeout,
            config.boot_timeout,
            notice=config.drain_delay,
            handshakes=_HANDSHAKES if has_door else 0.0,
            silence=config.worker_timeout,
        )

        def work(slot: int, channel: Channel, dump: Dump) -> int:
            # Imported after the fork: the arbiter has no use for it, and each byte of its memory is paid for ever.
            from hostler.worker.worker import Worker

            self._settle(config, opened)
            _name(config, f"worker {slot}")
            return Worker(
                config,
                opened,
                self._on_board(),
                slot,
                channel,
                dump,
                self._logs,
                self._app,
                hooks=hooks,
                inboxes=self._inboxes.descriptors,
            ).run()

        def work_preloaded(
            slot: int, age: int, channel: Channel, dump: Dump, fds: Sequence[int], apps: list[Mounted]
        ) -> int:
            from hostler.worker.worker import Worker

            _name(config, f"worker {slot}")
            board, logs = self._on_board(), self._logs
            inboxes = self._inboxes.descriptors
            own = [listener.reopened(fd) for listener, fd in zip(opened, fds, strict=True)]
            if hooks is not None:
                hooks.listening(own)  # the template has closed those that it knew
            return Worker(
                config, own, board, slot, channel, dump, logs, apps=apps, hooks=hooks, age=age, inboxes=inboxes
            ).run()

        def template(channel: Channel) -> int:
            from hostler.worker.template import Template

            self._settle(config, ())  # its workers get the listeners when they are forked
            _name(config, "template")
            return Template(config, channel, self._logs, len(opened), work_preloaded).run()

        since = time.time_ns()

        def watch(channel: Channel) -> int:
            from hostler.proc.watching import watch
            from hostler.worker.boot import become_user

            self.listeners.leave(())
            self._inboxes.let_go()
            channel.die_with_peer(True)
            become_user(config)  # it reads the app's files alone
            watch([".", *config.pythonpath], config.reload_extra_files, channel.send, since)
            return 0

        is_development = config.reload == "on"
        welcome = f"hostler {__version__} listening on {{url}} ({_size(config)})"
        watched = config.touch_reload
        bounds = _bounds(config)
        if bounds is not None and self._most:  # nobody has asked for as many as there are processors
            bounds = bounds._replace(most=min(bounds.most, self._most))
        return Plan(
            config.workers or config.min_workers,
            timing,
            work,
            opened,
            welcome,
            __version__,
            config.reload_batch,
            template if config.preload == "on" and not is_development and self._app is None else None,
            watch if is_development else None,
            hooks,
            metrics,
            list(config.lines()),
            int(config.memory_budget),
            bounds,
            0 if is_development else ceil(processors()),
            watched,
        )

    def _on_board(self) -> Scoreboard:
        assert self._board is not None  # made before the first fork
        return self._board

    def _use_sinks(self, config: Config) -> None:
        """Have log lines go to logging and syslog, where the configuration says so."""
        logs = self._logs
        logs.send_errors_to([])
        logs.send_access_to([])
        logs.reopen_too([])
        logs.is_json = config.error_log_format == "json"
        if config.log_config is None and config.syslog is None:
            return
        from hostler.sinks import Sinks  # the logging module, for those alone who want it

        sinks = Sinks(config, _owner(config))
        logs.send_errors_to(sinks.error, has_file=not sinks.replaces_file)
        logs.send_access_to(sinks.access)
        logs.reopen_too([sinks.reopen])

    def _metrics(self, config: Config) -> Statsd | None:
        if config.statsd is None:
            self._last_metrics = None
            return None
        prefix, now = config.statsd_prefix or "", time.monotonic()
        before, board = self._last_metrics, self._board
        metrics = Statsd(config.statsd, prefix, config.statsd_tags, self._logs, now, before, board)
        self._last_metrics = metrics
        return metrics

    def _hooks(self, config: Config) -> Hooks | None:
        if config.hooks is None:
            self._last_hooks = None  # workers that end meanwhile are told to no hook
            return None
        from hostler.hooks import Hooks  # for those alone who have some

        self._last_hooks = Hooks(config.hooks, config.values, self._logs, self._last_hooks)
        return self._last_hooks

    def _settle(self, config: Config, opened: Sequence[Listener]) -> None:
        """In a child that is to run the application: let go of what is not its own, and give it what is."""
        self.listeners.leave(opened)
        if config.env:
            os.environ.update(config.env)
            time.tzset()  # TZ may be among them
        if config.capture_output == "on":
            self._logs.capture()

    def _replan(self, most: int) -> Plan:
        """Read the configuration again, and open what it asks for."""
        assert self._reread is not None
        before, before_open = self._config, self._open
        try:
            config = self._read()
            wanted = config.workers or config.max_workers or config.min_workers
            if wanted > most:
                raise HostlerError(f"workers: {wanted} is more than there is room for ({most}) without a restart")
            self._logs.change(config.error_log, config.access_log, config.log_level)
            plan = self._plan(config)
        except HostlerError:
            self._go_to(before)
            raise
        self._config, self._open = config, plan.listeners
        for text in config.warnings:
            if text not in before.warnings:
                self._logs.warning(text)
        for name in _FIXED:
            if config.values[name] != before.values[name]:
                self._logs.warning("option not changed; it is settled at the start", option=name)

        def commit() -> None:
            for listener in plan.listeners:
                if listener not in before_open:
                    self._logs.info(f"listening on {listener.url}")
            urls = [listener.url for listener in before_open if listener not in plan.listeners]
            self.listeners.keep(plan.listeners)
            for url in urls:
                self._logs.info("no longer listening", url=url)

        def revert() -> None:
            self._config, self._open = before, before_open
            self._go_to(before)
            self.listeners.keep(before_open)

        return plan._replace(commit=commit, revert=revert)

    def _read(self) -> Config:
        """The configuration as it is now. The directory too: it may have a newer release under its name by now."""
        assert self._reread is not None
        try:
            os.chdir(self._home)
        except OSError as error:
            raise HostlerError(f"the directory {self._home} cannot be entered: {error.strerror}") from None
        config = self._reread()
        if config.chdir is not None:
            os.chdir(config.chdir)
        return config

    def _go_to(self, config: Config) -> None:
        """Back to what was so before a reload, as far as it still is."""
        try:
            os.chdir(self._home)
            if config.chdir is not None:
                os.chdir(config.chdir)
            self._logs.change(config.error_log, config.access_log, config.log_level)
            self._use_sinks(config)
        except (OSError, HostlerError) as error:
            self._logs.warning("not all is as before the failed reload", reason=error)


def _say(config: Config, logs: Logs) -> None:
    """What the configuration means that an operator may not expect: once, by the process that all others come from."""
    found = _identity(config)
    if found is not None:
        logs.info(f"workers run as another user {found}")
    for text in config.warnings:
        logs.warning(text)


def _detach(config: Config, logs: Logs) -> Callable[[], None]:
    """Go on in the background; returns what to call when we serve."""
    if config.error_log == "-":
        logs.warning("the log ends when the daemon serves; it has no standard error option=error_log")
    return detach()


def _bounds(config: Config) -> Bounds | None:
    """From how many workers to how many; None: their number is settled."""
    if config.workers is not None or config.reload == "on":
        return None
    most = config.max_workers or max(config.min_workers, ceil(processors()))
    limit = memory_limit()
    if most == config.min_workers:
        return None
    memory = int(config.memory_budget) or (int(limit * _OF_LIMIT) if limit is not None else 0)
    return Bounds(config.min_workers, most, memory)


def _name(config: Config, part: str) -> None:
    """Call this process what the configuration says."""
    if config.proc_name is not None:
        set_title(f"{config.proc_name}: {part}")


def _identity(config: Config) -> identity.Identity | None:
    """The user and group that the workers run as; None: ours."""
    if config.user is None and config.group is None:
        return None
    return identity.find(config.user, config.group)


def _owner(config: Config) -> Ids | None:
    """User and groups of what workers must reach; None: ours."""
    found = _identity(config)
    return Ids(found.uid, found.gid, found.groups) if found is not None else None


def _logical_directory() -> str:
    """The current directory by the name it was entered by: links in it may lead elsewhere after a deployment."""
    named = os.environ.get("PWD", "")
    try:
        real = os.getcwd()
    except FileNotFoundError:
        raise HostlerError("the current directory was deleted: start the server in another one") from None
    try:
        if os.path.isabs(named) and os.path.samefile(named, real):
            return named
    except OSError:
        pass
    return real


def _size(config: Config) -> str:
    """ "1 worker, up to 256 threads"."""
    bounds, threads = _bounds(config), config.threads or config.max_threads
    settled = counted(config.workers or config.min_workers, "worker")
    workers = settled if bounds is None else f"{bounds.least} to {bounds.most} workers"
    upto = "up to " if config.threads is None else ""
    kind = "greenlet" if config.driver == "gevent" else "thread"
    return f"{workers}, {upto}{counted(threads, kind)}"
