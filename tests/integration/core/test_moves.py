"""Connections that move between workers at random, with pipelined requests, bodies on their way, clients that leave and
workers that are killed: no answer is lost, doubled, mixed up or sent to another client.

The long version is `make soak`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.helpers import Serve
from tests.integration.helpers.handovers import ASGI, WSGI, move

SECONDS = 3.0


DRIVERS = pytest.mark.parametrize(
    ("app", "options"),
    [
        pytest.param(WSGI, (), id="threads"),
        pytest.param(WSGI, ("--threads", "1"), id="one-thread"),
        pytest.param(WSGI, ("--driver", "gevent"), id="gevent"),
        pytest.param(ASGI, (), id="asyncio"),
    ],
)


@DRIVERS
def test_no_answer_is_lost_or_doubled(serve: Serve, tmp_path: Path, app: str, options: tuple[str, ...]) -> None:
    answered, broken = move(serve, app, tmp_path / "runs", *options, seconds=SECONDS)
    assert answered > 200
    assert broken == 0


@DRIVERS
def test_kills_break_their_own_connections_only(
    serve: Serve, tmp_path: Path, app: str, options: tuple[str, ...]
) -> None:
    answered, _ = move(serve, app, tmp_path / "runs", *options, seconds=SECONDS, kill_every=0.5)
    assert answered > 200
