"""Signal handlers in a process that imports the app: which are the app's, which are ours.

A handler that the app sets while it is imported stays, unless hostler needs the signal; then one line says so. The
app's handlers run in the main thread, between other things, so what they raise is logged and goes no further.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from types import FrameType
from typing import TYPE_CHECKING, Any

from hostler.proc.signals import STACKS, Handler, name_of, pass_over

if TYPE_CHECKING:
    from hostler.logs import Logs
    from hostler.proc.signals import SignalQueue

__all__ = ["after_import", "all_handlers", "before_import", "guard"]

# What hostler needs in a worker, and for what.
_USES: dict[int, str] = {
    signal.SIGTERM: "to end a worker when its requests have ended",
    signal.SIGQUIT: "to end a worker at once",
    signal.SIGINT: "to end the server, by the arbiter alone (Ctrl-C reaches the workers too)",
    signal.SIGUSR1: "to open the log files again",
}
# Signals that mean something to the arbiter alone, and may reach the whole process group. Their default action would
# end or stop the process.
_PASSED_OVER = (signal.SIGHUP, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU)


def before_import(reopen: Callable[[], None]) -> Mapping[int, Handler]:
    """Set what we need while the app is imported; returns all handlers, for `after_import`.

    The signals that mean the end keep their default action: an import that hangs is ended by them. `reopen` opens the
    log files again. A handler that is there already (gunicorn's, a template's) stays where we need none.
    """
    for number in _PASSED_OVER:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, pass_over)
    signal.signal(signal.SIGINT, pass_over)
    signal.signal(signal.SIGUSR1, lambda number, frame: reopen())
    return all_handlers()


def all_handlers() -> Mapping[int, Handler]:
    """What is set for each signal."""
    return {number: signal.getsignal(number) for number in signal.valid_signals()}


def after_import(before: Mapping[int, Handler], logs: Logs) -> None:
    """Take back the signals that we need, say which handlers of the app that costs, and guard its others.

    TERM and QUIT have their default action then, until the caller has a queue for them.
    """
    from hostler.native import signal_handler

    signal.signal(STACKS, pass_over)
    python = signal_handler(STACKS)  # the interpreter's own handler; a native one has another address
    for number, handler in before.items():
        now = signal.getsignal(number)
        if number in _USES:
            # faulthandler.register() and native modules set theirs behind the interpreter's back.
            native = signal_handler(number)
            is_native = native not in (python, signal.SIG_DFL, signal.SIG_IGN)
            if now is not handler or is_native:
                said = {"signal": name_of(number), "hostler_uses_it": _USES[number], "remedy": "another signal"}
                logs.warning("signal handler of the application replaced", **said)
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
        elif callable(now) and now is not handler:
            signal.signal(number, _Guarded(now, logs))


def guard(before: Mapping[int, Handler], queue: SignalQueue, logs: Logs) -> None:
    """Look at the handlers that the application has set in its start-up, in the main thread.

    `before`: `all_handlers` when it began.
    They run beside the queue's, which hears of the signal from the interpreter. Default and ignored are taken back
    where hostler needs the signal, since it would not hear of it then.
    """
    for number, handler in before.items():
        now = signal.getsignal(number)
        if number in queue.numbers and not callable(now):
            use = _USES.get(number, "to ask a worker")
            text = "signal handler set again; the application had removed it"
            logs.warning(text, signal=name_of(number), hostler_uses_it=use)
            signal.signal(number, queue.hear)
        elif callable(now) and now not in (handler, queue.hear):
            signal.signal(number, _Guarded(now, logs))
            signal.siginterrupt(number, False)


class _Guarded:
    """A handler of the app, whose exceptions do not reach what it interrupts."""

    def __init__(self, handler: Callable[[int, FrameType | None], Any], logs: Logs) -> None:
        self._handler = handler
        self._logs = logs

    def __call__(self, number: int, frame: FrameType | None) -> None:
        try:
            self._handler(number, frame)
        except BaseException as error:  # SystemExit too: the arbiter decides when a worker ends
            import traceback  # not at the top: a quarter of a megabyte in each worker

            trace = "".join(traceback.format_exception(error)).rstrip("\n")
            text = f"signal handler of the application failed\n{trace}"
            self._logs.error(text, signal=name_of(number), error=repr(error))
