"""The errors that end hostler, and their exit codes."""

from __future__ import annotations

import pytest

from hostler import errors


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.HostlerError, 1),
        (errors.BindError, 1),
        (errors.ConfigError, 2),
        (errors.BootError, 3),
        (errors.AppLoadError, 4),
    ],
)
def test_exit_codes(error: type[errors.HostlerError], code: int) -> None:
    """Service managers and their users rely on these numbers."""
    raised = error("the line", "the evidence")
    assert (raised.exit_code, raised.message, raised.detail) == (code, "the line", "the evidence")
    assert str(raised) == "the line"
    assert isinstance(raised, errors.HostlerError)


def test_all_errors_are_listed() -> None:
    defined = {name for name, value in vars(errors).items() if isinstance(value, type)}
    assert defined == set(errors.__all__)
