"""Keyword arguments of `hostler.serve(...)`."""

from __future__ import annotations

import pytest

from hostler.config.settings import Assignment
from hostler.config.sources.keywords import from_keywords
from hostler.errors import ConfigError


def test_keywords() -> None:
    assert from_keywords({"workers": 2, "bind": ["127.0.0.1:0"]}) == [
        Assignment("workers", 2, "serve(workers=...)", "serve(workers=...)"),
        Assignment("bind", ["127.0.0.1:0"], "serve(bind=...)", "serve(bind=...)"),
    ]


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("worker", 'serve(): unknown option "worker" - did you mean "workers"?'),
        ("colour", 'serve(): unknown option "colour"'),
    ],
)
def test_unknown_keyword(name: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_keywords({name: 1})
    assert caught.value.message == complaint
