"""What test modules share lies in `helpers`: a test module can be changed, moved or left out alone."""

from __future__ import annotations

import ast
from pathlib import Path


def imported(path: Path) -> list[str]:
    """Names that a file imports, with their modules."""
    names = []
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def test_no_file_imports_a_test_module(root: Path) -> None:
    found = [
        f"{path.relative_to(root)}: {name}"
        for path in (root / "tests").rglob("*.py")
        for name in imported(path)
        if name.startswith("tests.") and any(part.startswith("test_") for part in name.split("."))
    ]
    assert found == []
