"""What a worker does before it has a core, and a template in its place: the user, the path, the app."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hostler.errors import AppLoadError, BootError
from hostler.logs import ensure_standard_streams
from hostler.proc import exposure, identity, patches
from hostler.proc.channel import Channel
from hostler.proc.daemon import let_go
from hostler.proc.signals import ORPHANED
from hostler.worker import greenlets, loading
from hostler.worker.failed_app import explain

if TYPE_CHECKING:
    from hostler.config import Config
    from hostler.logs import Logs
    from hostler.worker.interfaces import Mounted

__all__ = [
    "adopt_loggers", "become_user", "fit_driver", "leave_terminal", "load", "report", "watch_arbiter",
    "withstand_signals",
]  # fmt: skip


def watch_arbiter(channel: Channel, seconds: float, logs: Logs) -> None:
    """Have the kernel end us so many seconds after the arbiter's end, also when no thread can run Python any more.

    From `Channel.die_with_peer` until here it was at once.
    """
    from hostler.native import kill_when_closed

    try:
        kill_when_closed(channel.fileno(), ORPHANED, seconds)
    except OSError as error:  # EAGAIN: the user has used up its timers and signals (RLIMIT_SIGPENDING)
        channel.die_with_peer(False)
        logs.warning("no timer to end with the arbiter; only Python code notices its end", reason=error.strerror)


def withstand_signals(logs: Logs) -> None:
    """Make room for the handlers of many signals at once, as those get that are sent to a whole process group."""
    from hostler.native import widen_signal_stack

    try:
        widen_signal_stack()
    except OSError as error:  # ENOMEM
        logs.warning("no stack for signal handlers; many signals at once may end this process", reason=error.strerror)


def report(channel: Channel, error: AppLoadError | BootError) -> int:
    """Tell the arbiter why there is no app; returns the exit code."""
    what = "app" if isinstance(error, AppLoadError) else "boot"
    channel.die_with_peer(False)
    lines = [f"failed {what}", error.message, error.detail.rstrip("\n")]
    if (closed := closed_directory(os.__file__, __file__)) is not None:
        lines.append(
            f"uid {os.geteuid()} may not enter {closed}, which it needs for Python's modules or hostler's: "
            "install them where the workers' user can read them"
        )
    channel.send("\n".join(filter(None, lines)))
    return error.exit_code


def closed_directory(*paths: str) -> str | None:
    """The first directory on the way to these files that this process may not enter; None: there is none.

    After a change of user the modules that are still to come may be out of reach, and the error that follows names one
    of them, or an unknown encoding.
    """
    for path in paths:
        for place, below in exposure.way(os.path.abspath(path)):
            if below and not os.access(place, os.X_OK):
                return place
    return None


def leave_terminal(config: Config) -> None:
    """A daemon that is about to serve has no terminal any more."""
    if config.daemon == "on" and config.capture_output == "off":
        let_go()


def become_user(config: Config) -> None:
    """Give up root's rights before any code of the application runs."""
    if config.user is None and config.group is None:
        return
    try:
        identity.find(config.user, config.group).assume()
    except (OSError, ValueError) as error:
        who = config.user or config.group
        raise BootError(f"the worker cannot run as {who}: {error}") from None


def load(config: Config, logs: Logs, app: Callable[..., Any] | None = None) -> list[Mounted]:
    """The applications: `app` where a script gave it, else those that the configuration names.

    While a developer works at them (`reload`), one that cannot be imported is one that says so.
    """
    loading.extend_path(config.pythonpath, config.hooks is not None and config.hooks.is_gunicorn)
    patches.keep()
    greenlets.after_fork()
    if config.driver == "gevent":
        greenlets.patch()
    _install_loggers(config, logs)
    try:
        apps = _load(config, app)
        ensure_standard_streams()  # it may have closed them: what is opened next would get their numbers
    except AppLoadError as error:
        if config.reload == "off":
            raise
        logs.error(f"{error.message}\n{error.detail}\nit is tried again when a file has changed".replace("\n\n", "\n"))
        return [explain(error)]
    if config.driver == "gevent" and any(each.is_asgi for each in apps):
        raise BootError("the gevent driver runs WSGI applications only: leave --driver out for ASGI")
    if "django.db" in sys.modules:
        from hostler.integrations.django import install

        install()
    return apps


def _install_loggers(config: Config, logs: Logs) -> None:
    """Under `hostler gunicorn`: the loggers that applications expect there, unless `log_config` has its own."""
    hooks = config.hooks
    if hooks is None or not hooks.is_gunicorn or config.log_config is not None:
        return
    from hostler import loggers

    loggers.install(logs, hooks.make_logger)


def adopt_loggers(config: Config, logs: Logs) -> None:
    """Have our lines go through gunicorn's loggers, where the application has changed these."""
    if config.hooks is not None and config.hooks.is_gunicorn and config.log_config is None:
        from hostler import loggers

        loggers.adopt(logs)


def fit_driver(config: Config, apps: list[Mounted], logs: Logs) -> Config:
    """The configuration with the driver that this process needs, after the application was imported.

    Code that has called gevent.monkey.patch_all() starts greenlets where it asks for threads, so threads cannot run
    its requests. Raises BootError for what no driver runs.
    """
    if reason := patches.uses_eventlet():
        raise BootError(reason)
    if "eventlet" in sys.modules and config.source("driver").endswith(" eventlet"):
        raise BootError(f"the application imports eventlet: {patches.NO_EVENTLET}")
    if config.driver == "gevent" or not greenlets.is_patched():
        return config
    if any(each.is_asgi for each in apps):
        raise BootError(
            "gevent.monkey.patch_all() was called, and ASGI applications run on asyncio: leave that call out"
        )
    logs.info("the gevent driver runs the requests; gevent.monkey.patch_all() was called")
    return config.replaced("driver", "gevent", "gevent.monkey.patch_all()")


def _load(config: Config, app: Callable[..., Any] | None) -> list[Mounted]:
    if app is not None:
        return [loading.mount(app, "the app", config.interface)._replace(name="")]
    return loading.load_all(config.app, config.interface)
