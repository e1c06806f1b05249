"""Modules that small processes do not load."""

from __future__ import annotations

# Each costs memory in every process that imports it, and the arbiter needs none of them.
HEAVY = {
    *("argparse", "asyncio", "concurrent", "dataclasses", "email", "http", "importlib.metadata", "inspect"),
    *("json", "logging", "pathlib", "shutil", "socketserver", "subprocess", "tempfile", "threading", "urllib", "uuid"),
}
