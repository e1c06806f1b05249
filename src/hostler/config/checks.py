"""Checks between options, and between options and the machine; every value alone is right already."""

import os
from collections.abc import Iterator

from hostler.config.address import Address, TcpAddress, UnixAddress
from hostler.config.settings import Config
from hostler.proc import identity

__all__ = ["check_directories", "check_users", "check_values", "warn_of_idle_options"]


def check_values(config: Config) -> None:
    """Refuse values that contradict each other."""
    if config.limit_request_line > config.limit_request_head:
        whole = _named(config, "limit_request_head")
        problem = f"{config.limit_request_line} is more than {whole}, which holds the request line too"
        raise config.complaint("limit_request_line", problem)
    if config.max_workers is not None and config.min_workers > config.max_workers:
        raise config.complaint("min_workers", f"{config.min_workers} is more than {_named(config, 'max_workers')}")
    # A default that is too large does no harm: then every body that is allowed stays in memory.
    is_chosen = config.source("body_memory") != "default"
    if is_chosen and config.body_memory > config.limit_request_body:
        limit = _named(config, "limit_request_body")
        problem = f"{config.body_memory} is more than {limit}: no body could be that large"
        raise config.complaint("body_memory", problem)
    seen: set[Address] = set()
    for name in ("bind", "admin_bind"):
        for address in config.values[name]:
            if address in seen:
                raise config.complaint(name, f"{address} is listed twice")
            if not (isinstance(address, TcpAddress) and address.port == 0):
                seen.add(address)


def check_users(config: Config) -> None:
    """Refuse a user and a group that this machine does not have."""
    for name, user in (("group", None), ("user", config.user)):  # the group alone: a complaint names the right one
        if config.values[name] is not None:
            try:
                identity.find(user, config.group)
            except ValueError as error:
                raise config.complaint(name, str(error)) from None


def check_directories(config: Config) -> None:
    """Refuse directories that do not exist, before anything is opened in them."""
    base = config.chdir or "."
    _check_directory(config, "chdir", base, base)
    for path in config.pythonpath:
        _check_directory(config, "pythonpath", path, os.path.join(base, path))
    if config.temp_dir is not None:
        _check_directory(config, "temp_dir", config.temp_dir, os.path.join(base, config.temp_dir))
    files = [(name, config.values[name]) for name in ("access_log", "error_log", "pidfile")]
    for name in ("bind", "admin_bind"):
        for address in config.values[name]:
            if isinstance(address, UnixAddress) and not address.is_abstract:
                files.append((name, address.path))
    for name, file in files:
        if file is not None and file != "-":
            directory = os.path.dirname(file) or "."
            _check_directory(config, name, directory, os.path.join(base, directory))


def warn_of_idle_options(config: Config) -> Iterator[str]:
    """One line for options that were set and have no effect beside the others."""
    names = [name for name in ("min_workers", "max_workers") if config.source(name) != "default"]
    if names and config.workers is not None:
        workers = f"workers={config.workers} ({config.source('workers')})"
        yield f"{' and '.join(names)}: no effect, since the number of workers is set {workers} remedy=workers = auto"


def _check_directory(config: Config, name: str, written: str, path: str) -> None:
    if not os.path.isdir(path):
        if os.path.exists(path):
            raise config.complaint(name, f'"{written}" is not a directory')
        raise config.complaint(name, f'the directory "{written}" does not exist')


def _named(config: Config, name: str) -> str:
    """An option with its value and where it came from."""
    return f"{name} ({config.values[name]}, {config.source(name)})"
