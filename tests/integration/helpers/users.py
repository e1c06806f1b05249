"""Servers that root starts for another user."""

from __future__ import annotations

import os

import pytest

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

# All that the worker needs is imported by root: the interpreter may lie where nobody else can read it.
SCRIPT = """
import encodings.ascii, encodings.idna, json, os, stringprep
import hostler, hostler.native, hostler.worker.worker, hostler.launcher, hostler.config

def application(environ, start_response):
    start_response("200 OK", [])
    mask = os.umask(0)
    os.umask(mask)
    return [json.dumps([os.getresuid(), os.getresgid(), os.getgroups(), mask]).encode()]

hostler.serve(application, bind="unix:{directory}/app.sock", error_log="error.log", access_log="access.log", {options})
"""

# All that the processes need is imported by root: the interpreter may lie where nobody else can read it.
PREPARED = (
    "import encodings.ascii, encodings.idna, encodings.latin_1, encodings.unicode_escape, json, linecache, stringprep, "
    "traceback, sys, hostler.config, hostler.launcher, hostler.native, hostler.worker.loading, "
    "hostler.worker.template, hostler.worker.worker; "
    "from hostler.cli import main; sys.exit(main(['serve', *sys.argv[1:]]))"
)
