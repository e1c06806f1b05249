"""The operator's replacements of the standard library."""

from __future__ import annotations

import select
import sys
import time
from collections.abc import Iterator
from types import ModuleType

import pytest

from hostler.proc import patches


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No replacement outlives its test."""
    monkeypatch.setattr(patches, "_replaced", {})
    monkeypatch.setattr(patches, "_is_kept", False)
    before = {name: dict(vars(sys.modules[name])) for name in ("select", "time")}
    yield
    for name, values in before.items():
        vars(sys.modules[name]).update(values)


def replacement(seconds: object) -> None:
    """In the place of time.sleep."""


def test_replacements_hold_only_while_the_operators_code_runs() -> None:
    original = time.sleep
    with patches.operator_code():
        time.sleep = replacement
    assert time.sleep is original
    with patches.operator_code():
        assert time.sleep is replacement
    assert time.sleep is original


def test_replacements_hold_for_good_once_they_are_kept() -> None:
    with patches.operator_code():
        time.sleep = replacement
    patches.keep()
    assert time.sleep is replacement
    with patches.operator_code():
        pass
    assert time.sleep is replacement


def test_names_that_are_removed_and_added_come_and_go() -> None:
    poll = select.poll
    with patches.operator_code():
        del select.poll
        select.added = 1  # type: ignore[attr-defined]
    assert select.poll is poll
    assert not hasattr(select, "added")
    with patches.operator_code():
        assert not hasattr(select, "poll")
        assert select.added == 1  # type: ignore[attr-defined]


def test_code_within_operators_code_changes_nothing_twice() -> None:
    original = time.sleep
    with patches.operator_code():
        time.sleep = replacement
        with patches.operator_code():
            assert time.sleep is replacement
        assert time.sleep is replacement
    assert time.sleep is original


def test_replacements_are_undone_when_the_code_raises() -> None:
    original = time.sleep

    def fail() -> None:
        with patches.operator_code():
            time.sleep = replacement
            raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        fail()
    assert time.sleep is original


def test_eventlet_is_found_when_it_has_patched(monkeypatch: pytest.MonkeyPatch) -> None:
    assert patches.uses_eventlet() == ""
    patcher = ModuleType("eventlet.patcher")
    patcher.already_patched = {}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "eventlet.patcher", patcher)
    assert patches.uses_eventlet() == ""
    patcher.already_patched["os"] = True
    assert patches.uses_eventlet().startswith("eventlet.monkey_patch() was called: there is no driver")
