"""docs/promises.md: each promise of the README, with tests that exist."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

# `tests/x/test_y.py::test_z`, or the same file's next test as `::test_z`.
NAMED = re.compile(r"`(tests/[\w/]+\.py)?(?:::(\w+))?`")
BOLD = re.compile(r"\*\*(.+?)\*\*")


def rows(root: Path) -> list[tuple[str, str]]:
    """Each promise, and what is said to hold it."""
    lines = (root / "docs" / "promises.md").read_text(encoding="utf-8").splitlines()
    cells = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    return [(promise, tests) for promise, tests in cells[1:]]


def functions(path: Path) -> set[str]:
    return {node.name for node in ast.parse(path.read_bytes()).body if isinstance(node, ast.FunctionDef)}


def test_every_promise_of_the_readme_has_a_row(root: Path) -> None:
    section = (
        (root / "README.md").read_text(encoding="utf-8").partition("## What it promises\n")[2].partition("\n## ")[0]
    )
    promised = {
        each.rstrip(".") for line in section.splitlines() if line.startswith("* ") for each in BOLD.findall(line)
    }
    assert len(promised) >= 8
    assert promised == {each for promise, _ in rows(root) for each in BOLD.findall(promise)}


def test_tests_that_are_named_exist(root: Path) -> None:
    missing = []
    for promise, tests in rows(root):
        path = Path()
        found = [match.groups() for match in NAMED.finditer(tests)]
        for name, function in found:
            path = root / name if name else path
            known = functions(path) if path.is_file() else set()
            if not known or (function and function not in known):
                missing.append(f"{promise}: {name or path.name}::{function}")
        assert any(found), promise
    assert missing == []


def test_package_has_no_dependencies(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project.get("dependencies", []) == []
