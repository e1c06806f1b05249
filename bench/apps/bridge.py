"""The WSGI app named by BENCH_APP as an ASGI app, for the servers that speak only ASGI."""

from __future__ import annotations

import importlib
import os

from a2wsgi import WSGIMiddleware

module, _, attribute = os.environ["BENCH_APP"].partition(":")
app = WSGIMiddleware(getattr(importlib.import_module(module), attribute), workers=1)
