"""The reference page: it holds every option, and the copy in docs is the current one."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostler.config.reference import main, page
from hostler.config.settings import GROUPS, OPTIONS


def test_page_holds_every_option() -> None:
    text = page()
    for option in OPTIONS.values():
        assert f"### `{option.name}`\n\n{option.about}\n" in text
        assert f"`{option.flag}`" in text
        assert f"`{option.variable}`" in text
    for group in GROUPS:
        assert f"\n## {group.heading}\n\n{group.about}\n" in text


@pytest.mark.parametrize(
    "line",
    [
        "- Default: `256` (bytes per second)",
        "- Command line: `-w`, `--workers`; environment: `HOSTLER_WORKERS`, `WEB_CONCURRENCY`",
        "- Command line: `--access-log`, `--no-access-log`; environment: `HOSTLER_ACCESS_LOG`",
        "- Command line: `APP`, `--app`, `--no-app`; environment: `HOSTLER_APP`",
        "- Value: a directory; several",
        "- Elsewhere: gunicorn `workers`; uWSGI `processes`, `workers`, `p`; uvicorn `workers`",
    ],
)
def test_facts(line: str) -> None:
    assert f"\n{line}\n" in page()


def test_docs_are_current(root: Path) -> None:
    assert main(["--check", str(root / "docs" / "settings.md")]) == 0


def test_drift_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "settings.md"
    assert main(["--check", str(path)]) == 1  # not there yet
    assert main([str(path)]) == 0
    assert main(["--check", str(path)]) == 0
    path.write_text(path.read_text() + "\n")
    assert main(["--check", str(path)]) == 1
    line = f"{path} is not up to date: run python -m hostler.config.reference {path}\n"
    assert capsys.readouterr().err == line * 2
