"""The errors that end ostler, and their exit codes."""

from __future__ import annotations

import pytest

from ostler import errors


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.OstlerError, 1),
        (errors.BindError, 1),
        (errors.ConfigError, 2),
        (errors.BootError, 3),
        (errors.AppLoadError, 4),
    ],
)
def test_exit_codes(error: type[errors.OstlerError], code: int) -> None:
    """Service managers and their users rely on these numbers."""
    raised = error("the line", "the evidence")
    assert (raised.exit_code, raised.message, raised.detail) == (code, "the line", "the evidence")
    assert str(raised) == "the line"
    assert isinstance(raised, errors.OstlerError)


def test_all_errors_are_listed() -> None:
    defined = {name for name, value in vars(errors).items() if isinstance(value, type)}
    assert defined == set(errors.__all__)
