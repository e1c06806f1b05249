"""A template's life: the app is imported once, and workers are forked from it when the arbiter asks.

It has no listeners: they come with the request for a worker. So nothing that the app starts while it is imported can
keep a port; and it ends with the template.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn

from hostler.errors import AppLoadError, BootError
from hostler.logs import ensure_standard_streams
from hostler.proc import signals
from hostler.proc.channel import Channel
from hostler.proc.children import end_descendants, end_multiprocessing, forget_multiprocessing
from hostler.proc.dump import Dump
from hostler.proc.fork import flush, leave, stay_frozen
from hostler.proc.inherited import forget_exit_handlers
from hostler.proc.patience import alarm
from hostler.worker import greenlets, relay
from hostler.worker.boot import become_user, leave_terminal, load, report, watch_arbiter, withstand_signals
from hostler.worker.handlers import after_import, before_import

if TYPE_CHECKING:
    from hostler.config import Config
    from hostler.logs import Logs
    from hostler.worker.interfaces import Mounted

__all__ = ["Template"]

# Imported before gevent puts its own in the place of what it uses, and shared by all workers.
_ = relay

# They reach whole process groups; but this process ends when the arbiter lets go of it.
_IGNORED = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)

# From the arbiter's death to ours, in seconds: there may be children of the app to end.
_ORPHAN_END = 3.0
# What multiprocessing's own clean-up has of it.
_CHILDREN_WITHIN = 1.5
# What the handlers that the app has registered (atexit) have of it.
_EXIT_WITHIN = 0.5

# Runs in the worker: (slot, its number among all, its end of the channel, where its stacks go, the descriptors of its
# listeners, the apps), returns the exit code.
Main = Callable[[int, int, Channel, Dump, Sequence[int], "list[Mounted]"], int]


class Template:
    """One template process; it forks workers with so many `listeners`."""

    def __init__(self, config: Config, channel: Channel, logs: Logs, listeners: int, main: Main) -> None:
        self._config = config
        self._channel = channel
        self._logs = logs
        self._listeners = listeners
        self._main = main

    def run(self) -> int:
        """Import the app, say so, and fork until the arbiter lets go. Returns an exit code when there is no app."""
        before = before_import(self._logs.reopen)
        self._channel.die_with_peer(True)
        try:
            become_user(self._config)
            self._apps = load(self._config, self._logs)
        except (AppLoadError, BootError) as error:
            return report(self._channel, error)
        after_import(before, self._logs)
        self._settle()
        leave_terminal(self._config)
        self._channel.send("ready")
        self._serve()
        return self._end()

    def _end(self) -> NoReturn:
        """Run what the app has registered to run at the end while it was imported, then end what it has started."""

        def end() -> NoReturn:
            signal.setitimer(signal.ITIMER_REAL, 0)
            end_multiprocessing(_CHILDREN_WITHIN)
            end_descendants()
            leave(0)

        alarm(_EXIT_WITHIN, end)
        atexit._run_exitfuncs()
        end()

    def _settle(self) -> None:
        """Leave nothing behind that a worker must not share, or would change by only looking at it."""
        for number in _IGNORED:
            signal.signal(number, signals.pass_over)
        if threading.active_count() > 1:
            names = ", ".join(each.name for each in threading.enumerate() if each is not threading.main_thread())
            text = "the application has started threads at its import; no worker has them"
            self._logs.warning(text, threads=names, option="preload")
        database = sys.modules.get("django.db")
        if database is not None:
            database.connections.close_all()  # a socket that two processes read is of no use to either
        withstand_signals(self._logs)
        watch_arbiter(self._channel, _ORPHAN_END, self._logs)
        self._logs.reopen()  # they may have been moved meanwhile

        stay_frozen()  # the collector writes into every object that it looks at, which would unshare it

    def _serve(self) -> None:
        while True:
            try:
                ensure_standard_streams()  # threads of the app may close them at any time
                message, fds = self._channel.wait_with()
            except OSError:
                return
            if not message:
                return
            _, serial, slot, age = message.split()
            said = self._fork(int(slot), int(age), fds)
            self._channel.send(f"{'forked' if said.isdigit() else 'unforked'} {serial} {said}")

    def _fork(self, slot: int, age: int, fds: Sequence[int]) -> str:
        """Fork twice: the worker's parent ends, so that the arbiter becomes its parent. The pid, or what went wrong."""
        flush()  # else each of them would write what is still in the buffers
        mask = signals.block(signals.HANDLED)  # until the worker has handlers of its own: see proc/signals.py
        try:
            if len(fds) != 2 + self._listeners:  # the kernel closes those that it finds no number for
                return "Too many open files"
            return self._fork_twice(slot, age, fds, mask)
        except OSError as error:
            return error.strerror or "fork failed"
        finally:
            signals.unblock(mask)
            for fd in fds:
                os.close(fd)

    def _fork_twice(self, slot: int, age: int, fds: Sequence[int], mask: set[int]) -> str:
        reader, writer = os.pipe()
        try:
            parent = _fork()
            if parent == 0:
                self._fork_worker(slot, age, fds, writer, mask)
            os.close(writer)
            writer = -1
            said = os.read(reader, 32)
            try:
                _waitpid(parent, 0)
            except ChildProcessError:  # the app ignores SIGCHLD, or waits for every child: it is gone as well
                pass
            return said.decode() or "fork failed"
        finally:
            os.close(reader)
            if writer >= 0:
                os.close(writer)

    def _fork_worker(self, slot: int, age: int, fds: Sequence[int], writer: int, mask: set[int]) -> None:
        code = 1
        try:
            try:
                pid = _fork()
            except OSError as error:
                os.write(writer, (error.strerror or "fork failed").encode()[:32])
                os._exit(0)
            if pid:
                os.write(writer, str(pid).encode())
                os._exit(0)
            os.close(writer)
            self._channel.close()
            forget_multiprocessing()
            forget_exit_handlers()
            for number in (signal.SIGTERM, signal.SIGQUIT):  # the others are as a worker's are
                signal.signal(number, signal.SIG_DFL)
            signals.unblock(mask)
            greenlets.after_fork()
            channel = Channel.of(fds[0])
            code = self._main(slot, age, channel, Dump(fds[1]), fds[2:], self._apps)
        except BaseException:  # a fault of ours: show it, and never run the template's code
            sys.excepthook(*sys.exc_info())
        finally:
            leave(code)


# As they are before gevent has its own in their place, which wait in its hub.
_os_fork, _waitpid = os.fork, os.waitpid


def _fork() -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 and later, where the app has threads: said already
        return _os_fork()
