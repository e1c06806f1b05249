"""Put this folder on PYTHONPATH, and `ostler._native` is tests/fakes/core.py, imported when it is asked for."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from types import ModuleType


class _Fake:
    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != "ostler._native":
            return None
        folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        return spec_from_file_location(name, os.path.join(folder, "core.py"))


sys.meta_path.insert(0, _Fake)
