"""The arrows of ARCHITECTURE.md: who may import whom, and what the small processes must not load."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.helpers.imports import HEAVY


def test_layers(root: Path) -> None:
    """The contracts stand in pyproject.toml; `lint-imports` explains a breach."""
    lint = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"]
    done = subprocess.run([*lint, "--no-cache"], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_native_is_imported_in_one_place(root: Path) -> None:
    """`hostler/native.py` is the only door to the built module, so its contract is in one place."""
    package = root / "src" / "hostler"
    importers = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if any(name.split(".")[:2] == ["hostler", "_native"] for name in imports(path, package))
    }
    assert importers == {"native.py"}


@pytest.mark.parametrize("module", ["hostler", "hostler.arbiter"])
def test_small_processes_stay_small(root: Path, module: str) -> None:
    """The arbiter lives as long as the service: it loads neither the core nor heavy modules."""
    code = f"import sys; import {module}; print(*sys.modules)"
    # -I -S: no site-packages, whose .pth files import things of their own.
    done = subprocess.run(
        [
            sys.executable,
            "-I",
            "-S",
            "-c",
            f"import sys; sys.path.insert(0, {str(root / 'src')!r}); {code}",
        ],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
    )
    loaded = set(done.stdout.split())
    assert not loaded & HEAVY
    assert "hostler._native" not in loaded


def imports(path: Path, package: Path) -> set[str]:
    """Absolute names of what a file imports, wherever in the file it does."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = path.relative_to(package.parent).parts[: -node.level]
                base = ".".join([*above, base]) if base else ".".join(above)
            names.update(f"{base}.{alias.name}" for alias in node.names)
    return names
