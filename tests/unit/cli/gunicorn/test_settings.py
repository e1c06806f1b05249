"""The table of gunicorn's settings, against the gunicorn that is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from gunicorn.config import KNOWN_SETTINGS

from hostler.cli.gunicorn.classes import CLASSES, REFUSED
from hostler.cli.gunicorn.page import main, page
from hostler.cli.gunicorn.settings import BY_NAME, HONOURED, MAPPED, SETTINGS, Setting, is_on
from hostler.config.settings import OPTIONS

# These depend on where and by whom gunicorn is started.
PLACES = {"chdir", "user", "group", "control_socket"}


@pytest.mark.parametrize("known", KNOWN_SETTINGS, ids=lambda known: str(known.name))
def test_as_gunicorn_has_it(known: Any) -> None:
    setting = BY_NAME[known.name]
    assert setting.flags == tuple(known.cli or ())
    if known.name not in PLACES and not callable(known.default):
        assert setting.default == known.default


def test_none_is_missing_and_none_invented() -> None:
    assert sorted(BY_NAME) == sorted(known.name for known in KNOWN_SETTINGS)
    assert len(SETTINGS) == len(BY_NAME) == 120


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_each_has_a_fate(setting: Setting) -> None:
    assert setting.text
    assert not setting.option or (setting.option in OPTIONS and setting.fate in (HONOURED, MAPPED))


def test_the_page_names_all(root: Path) -> None:
    text = page()
    assert all(f"\n| `{setting.name}` | " in text for setting in SETTINGS)
    assert all(f"\n| `{name}` | " in text for name in (*CLASSES, *REFUSED))
    assert main(["--check", str(root / "docs" / "migrate" / "gunicorn.md")]) == 0


def test_page_that_is_not_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "new" / "page.md"
    assert main(["--check", str(path)]) == 1
    assert main([str(path)]) == 0
    assert main(["--check", str(path)]) == 0


@pytest.mark.parametrize(("value", "truth"), [(True, True), ("true", True), ("0", False), (1, True), ("off", False)])
def test_truth(value: object, truth: bool) -> None:
    assert is_on(value) is truth


def test_what_is_no_truth() -> None:
    with pytest.raises(ValueError, match="neither true nor false"):
        is_on("maybe")
