"""The wire corpus through a real server: each stream in one piece and in several."""

from __future__ import annotations

import socket
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.conformance.conftest import ServerOf
from tests.integration.helpers import Server

CORPUS = Path(__file__).parents[1] / "vectors" / "http1"


class Vector(NamedTuple):
    """One row of the corpus."""

    name: str
    verdict: str
    bodies: list[int]

    @property
    def stream(self) -> bytes:
        return (CORPUS / f"{self.name}.http").read_bytes()


def corpus() -> list[Vector]:
    rows = [line.split("\t") for line in (CORPUS / "index.tsv").read_text().splitlines()[1:]]
    return [Vector(row[0], row[1], [] if row[2] == "-" else [int(n) for n in row[2].split(",")]) for row in rows]


@pytest.fixture(scope="module")
def server(server_of: ServerOf) -> Server:
    return server_of("echo")


def exchange(server: Server, pieces: list[bytes]) -> bytes:
    """Send the pieces, say that no more follows, and read until the server closes."""
    with server.connect() as connection:
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for piece in pieces:
                connection.send(piece)
            connection.sock.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError, OSError):
            pass  # refused before all was sent
        return connection.read_all()


def statuses_and_lengths(answer: bytes) -> tuple[list[int], list[int]]:
    """Of each response: its status, and the length of the body that the app was sent."""
    statuses, lengths = [], []
    while answer:
        head, _, answer = answer.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        status = int(lines[0].split()[1])
        fields = dict(line.lower().split(": ", 1) for line in lines[1:])
        if status == 100:
            continue
        statuses.append(status)
        if status == 200:
            lengths.append(int(fields["x-length"]))
        size = 0 if fields.get("x-method") == "head" else int(fields.get("content-length", 0))
        answer = answer[size:]
    return statuses, lengths


@pytest.mark.parametrize("vector", corpus(), ids=lambda vector: vector.name)
def test_vector(server: Server, vector: Vector) -> None:
    stream = vector.stream
    middle, last = len(stream) // 2, max(len(stream) - 3, 0)
    for cuts in ([], [middle], [min(7, last), last]):
        ends = [0, *cuts, len(stream)]
        pieces = [stream[start:end] for start, end in pairwise(ends)]
        statuses, lengths = statuses_and_lengths(exchange(server, [piece for piece in pieces if piece]))
        refused = [] if vector.verdict in ("ok", "wait") else [int(vector.verdict)]
        assert statuses == [200] * len(vector.bodies) + refused
        assert lengths == vector.bodies
