"""Starts servers for one test, and knows them all."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.integration.helpers.server import Server

# The smallest app, for tests whose subject is not the app.
HELLO = """
    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
        return [b"hello"]
"""


_SERVE = ("-m", "hostler", "serve")


class Serve:
    """Call it as one would type: `serve("shop.wsgi", "--workers", "2")`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.servers: list[Server] = []

    def __call__(
        self,
        app: str | None = None,
        *options: str,
        bind: str | Sequence[str] = "127.0.0.1:0",
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        python: Sequence[str] = _SERVE,
        ready: bool = True,
    ) -> Server:
        """Start `hostler serve APP --bind BIND OPTIONS…` and wait until it listens (unless not `ready`).

        It runs in `cwd`, or else in the test's own directory, where `source()` puts modules.
        Without `app` the server looks for one there. `python` starts something else, such as a script.
        """
        binds = [bind] if isinstance(bind, str) else list(bind)
        args = [app] if app is not None else []
        args += [word for address in binds for word in ("--bind", address)]
        args += options
        settled = {"--workers", "-w", "--min-workers", "--max-workers"}.intersection(options)
        is_plain = python == _SERVE and not settled and not (cwd or self.directory).joinpath("hostler.toml").exists()
        if is_plain and "HOSTLER_WORKERS" not in (env or os.environ):
            args += ["--workers", "1"]  # under load there would be more of them; what asks for that says so
        server = Server(
            args,
            log_path=self.directory / f"server-{len(self.servers)}.log",
            cwd=cwd or self.directory,
            env=env,
            pass_fds=pass_fds,
            python=python,
        )
        self.servers.append(server)
        if ready:
            server.wait_ready(len(binds))
        return server

    def source(self, text: str, name: str = "app") -> str:
        """Write a module for the app; returns "NAME:application" to serve."""
        (self.directory / f"{name}.py").write_text(textwrap.dedent(text), encoding="utf-8")
        return f"{name}:application"
