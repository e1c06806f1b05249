"""A million requests that wait, compute, leave and pipeline at random, while threads come and go:
`python -m tests.soak.handovers [REQUESTS]`.

No answer may be lost, doubled, mixed up or out of order. It is tests/integration/core/test_handovers.py, for long.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import tempfile
import time
from pathlib import Path

from tests.integration.helpers import Serve, Server
from tests.integration.helpers import handovers as short

PROCESSES = 2
CLIENTS = 16  # in each
ROUND = 8.0  # seconds of load
PAUSE = 1.6  # between rounds: longer than thread_idle, so that threads leave


def clients(server: Server, first: int, answers: multiprocessing.Queue[tuple[int, list[str]]]) -> None:
    """One process of clients for one round."""
    short.SECONDS = ROUND
    crowd = [short.Client(server, first + number) for number in range(CLIENTS)]
    for client in crowd:
        client.start()
    for client in crowd:
        client.join(ROUND + 60)
    failures = [repr(client.failure) for client in crowd if client.failure]
    failures += [f"client {client.number} hangs" for client in crowd if client.is_alive()]
    answers.put((sum(client.answered for client in crowd), failures))


def load(server: Server, requests: int) -> tuple[int, list[str]]:
    """Rounds of load until so many requests were answered."""
    answered, failures, number, said = 0, list[str](), 1, time.monotonic()
    queue: multiprocessing.Queue[tuple[int, list[str]]] = multiprocessing.Queue()
    while answered < requests and not failures:
        workers = []
        for _ in range(PROCESSES):
            workers.append(multiprocessing.Process(target=clients, args=(server, number, queue)))
            number += CLIENTS
        for worker in workers:
            worker.start()
        for _ in workers:
            count, failed = queue.get(timeout=ROUND + 120)
            answered += count
            failures += failed
        for worker in workers:
            worker.join()
        print(f"{answered} answered after {time.monotonic() - said:.0f}s", flush=True)
        time.sleep(PAUSE)
    return answered, failures


def main(requests: int) -> int:
    """The whole; returns an exit code."""
    with tempfile.TemporaryDirectory() as directory:
        serve = Serve(Path(directory))
        server = serve(serve.source(short.APP), "--thread-idle", "1", "--queue-size", "100000", "--slow-request", "0")
        try:
            answered, failures = load(server, requests)
            with server.connect(timeout=30) as connection:
                body = connection.request(b"GET /doubled HTTP/1.1\r\nHost: x\r\n\r\n").body
            runs, doubled = json.loads(body)
        finally:
            server.end()
        errors = [line for line in server.log.splitlines() if "ERROR" in line]
    print(f"{answered} answered, {runs} run, {len(doubled)} run twice, {len(failures)} failures, {len(errors)} errors")
    for problem in [*failures, *errors, *doubled][:20]:
        print(problem)
    return int(bool(failures or errors or doubled or runs < answered))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000))
