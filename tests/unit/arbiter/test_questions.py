"""What the control socket asks of an arbiter that is not as it should be."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from hostler.arbiter.questions import Questions


class Control:
    """Remembers the answers."""

    def __init__(self) -> None:
        self.answers: list[tuple[object, str, bool]] = []

    def answer(self, client: object, text: str, *, is_error: bool = False) -> None:
        self.answers.append((client, text, is_error))


def test_question_that_fails_is_answered_and_logged_and_ends_nothing() -> None:
    lines: list[str] = []
    arbiter = SimpleNamespace(
        control=Control(), processes=SimpleNamespace(take_stacks=None), logs=SimpleNamespace(error=lines.append)
    )
    questions = Questions(cast(Any, arbiter))
    questions.take(cast(Any, ("client", ["config"])))  # there is no plan
    [(client, text, is_error)] = arbiter.control.answers
    assert (client, is_error) == ("client", True)
    assert text.startswith("AttributeError(")
    assert text.endswith(" (please report it)")
    [line] = lines
    assert line.startswith("question failed; please report this fault of hostler question=config\nTraceback")
