"""Random waiting, computing, leaving and pipelining: no answer is lost, doubled, mixed up or out of order.

The long version is `make soak`.
"""

from __future__ import annotations

import json

import pytest

from tests.integration.helpers import Serve
from tests.integration.helpers.handovers import APP, SECONDS, Client

CLIENTS = 24


@pytest.mark.parametrize("threads", ["1", "2", "8", "auto"])
def test_every_answer_goes_to_its_question(serve: Serve, threads: str) -> None:
    server = serve(serve.source(APP), "--threads", threads, "--thread-idle", "1", "--queue-size", "100000")
    clients = [Client(server, name) for name in range(1, CLIENTS + 1)]
    for client in clients:
        client.start()
    for client in clients:
        client.join(SECONDS + 30)
    assert [client.failure for client in clients if client.failure] == []
    answered = sum(client.answered for client in clients)
    with server.connect() as connection:
        body = connection.request(b"GET /doubled HTTP/1.1\r\nHost: x\r\n\r\n").body
    runs, doubled = json.loads(body)
    assert doubled == []
    assert runs >= answered > 200
    assert "ERROR" not in server.log
