"""What other users of the machine can reach or change: one warning for each kind, which names it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

from hostler.config.address import UnixAddress
from hostler.config.settings import Config
from hostler.proc import exposure, identity
from hostler.proc.places import Ids

__all__ = ["warn_of_exposed", "warn_of_open_sockets"]

_OTHERS = 0o006  # connect(2) needs the right to write


def warn_of_exposed(config: Config) -> Iterator[str]:
    """One line when root starts workers as another user who can change what root opens, reads or runs."""
    if os.geteuid() != 0 or (config.user is None and config.group is None):
        return
    found = identity.find(config.user, config.group)
    user = Ids(found.uid, found.gid, found.groups)
    base = os.path.abspath(config.chdir or ".")
    exposed: dict[str, None] = {}  # in order, each once
    for name, path, is_read in (*_files(config), *_code()):
        place = exposure.changeable(os.path.join(base, path), user, is_read) if found.uid != 0 else None
        if place is not None:
            exposed[f"{name}={place}"] = None
    if exposed:
        yield (
            f"the workers' user can change what root uses: {' '.join(exposed)} ({found}); "
            "keep it where only root can write"
        )


def warn_of_open_sockets(config: Config) -> Iterator[str]:
    """One line when a drop-in command opens unix sockets to all users, as the tool that it replaces does."""
    if not config.source("unix_mode").startswith("hostler ") or not config.unix_mode & _OTHERS:
        return
    paths = [str(each) for each in config.bind if isinstance(each, UnixAddress) and not each.is_abstract]
    if paths:
        yield (
            f"every user of this machine can connect to {' '.join(paths)} unix_mode={config.unix_mode:o}; "
            "HOSTLER_UNIX_MODE=660 lets in its user and group alone"
        )


def _files(config: Config) -> Iterator[tuple[str, str, bool]]:
    """Name, path, and whether root reads the file; the others it makes."""
    for name in ("error_log", "access_log", "pidfile"):
        if config.values[name] not in (None, "-"):
            yield name, config.values[name], False
    if config.control not in (None, "auto") and not config.control.startswith("@"):
        yield "control", config.control, False
    for name in ("bind", "admin_bind"):
        for address in config.values[name]:
            if isinstance(address, UnixAddress) and not address.is_abstract:
                yield name, address.path, False
    if config.config is not None:
        yield "config", os.path.abspath(config.config), True  # read before the directory is changed
    if config.hooks is not None and config.hooks.path:
        yield "hooks", config.hooks.path, True
    if isinstance(config.log_config, str):
        yield "log_config", config.log_config, True
    if config.log_config is not None:  # classes that it names are looked for there too
        for folder in (".", *config.pythonpath):
            yield "log_config", folder, True


def _code() -> Iterator[tuple[str, str, bool]]:
    """What root runs: the interpreter, this package, and where other modules are looked for."""
    yield "python", sys.executable, True
    yield "hostler", os.path.dirname(os.path.dirname(__file__)), True
    for folder in sys.path:
        if os.path.isdir(folder or "."):
            yield "sys.path", os.path.abspath(folder), True
