"""Messages of a worker's channel, as events: what is ours, and what an app may send in its place."""

from __future__ import annotations

import pytest

from hostler.arbiter import events as ev
from hostler.arbiter.words import Heard, event_of, shown


@pytest.mark.parametrize(
    ("word", "text", "event"),
    [
        ("ready", "", ev.Ready(7)),
        ("closed", "", ev.Closed(7)),
        ("retire", "why", ev.Retire(7, "why")),
        ("renew", "why", ev.Renew(7, "why")),
        ("failed app", "line\n  line", ev.BootFailed(7, True, "line\n  line")),
        ("failed boot", "line", ev.BootFailed(7, False, "line")),
        ("Ready", "", None),
        ("", "", None),
    ],
)
def test_words(word: str, text: str, event: Heard | None) -> None:
    assert event_of(7, word, text) == event


def test_reason_is_one_line_of_bounded_length() -> None:
    event = event_of(7, "retire", "a\nb\x1b[2J" + "c" * 60_000)
    assert isinstance(event, ev.Retire)
    assert event.reason.startswith("a\\nb\\x1b[2Jc")
    assert len(event.reason) < 600


def test_failure_keeps_its_lines_without_what_a_terminal_obeys() -> None:
    event = event_of(7, "failed app", "one\n\ttwo\r\x1b[2J")
    assert event == ev.BootFailed(7, True, "one\n        two\\r\\x1b[2J")


def test_word_that_means_nothing_is_shown_in_part() -> None:
    line = shown(7, "x" * 60_000)
    assert line == f"message on hostler's channel ignored; no worker would send it now pid=7 said={'x' * 40}"
    assert "\n" not in shown(7, "a\nb")
