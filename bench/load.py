"""The client's side: requests that are checked, and wrk as the load."""

from __future__ import annotations

import http.client
import os
import re
import resource
import socket
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

HOST = "127.0.0.1"
UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


class Request(NamedTuple):
    """What wrk sends again and again, and how a right answer looks."""

    expect: bytes
    whole: bool = True  # `expect` is the whole body; otherwise a part of it
    size: int = 0  # length of the right body when `expect` is only a part, 0 for any
    headers: tuple[str, ...] = ()
    script: str = ""
    body_size: int = 0
    connections: int = 64
    path: str = "/"


class Answer(NamedTuple):
    """One answer, looked at closely."""

    status: int
    body: bytes
    head_size: int
    reused: bool  # the server kept the connection for the next request


class Load(NamedTuple):
    """One run of wrk; times in seconds."""

    requests: int
    seconds: float
    p50: float
    p99: float
    errors: str
    generator_cpu: float = 0.0


class LoadFailed(Exception):
    """The load generator itself did not work."""


def seconds(text: str) -> float:
    """`1.50ms` as wrk prints it."""
    match = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text)
    if match is None:
        raise LoadFailed(f"not a time: {text!r}")
    return float(match[1]) * UNITS[match[2]]


def parse(text: str) -> Load:
    """Read what `wrk --latency` prints."""
    total = re.search(r"(\d+) requests in ([\d.]+\w+),", text)
    if total is None:
        raise LoadFailed(f"wrk printed no result: {text.strip()!r}")
    percentiles = dict(re.findall(r"^\s+(50|99)%\s+(\S+)\s*$", text, re.MULTILINE))
    errors = [found[0].strip() for found in re.finditer(r"^\s*(Socket errors|Non-2xx).*$", text, re.MULTILINE)]
    requests = int(total[1])
    if requests == 0:
        errors.append("no request was answered")
    if len(percentiles) < 2:
        errors.append("wrk knows no waiting times")
    p50, p99 = (seconds(percentiles.get(name, "0s")) for name in ("50", "99"))
    return Load(requests, seconds(total[2]), p50, p99, "; ".join(errors))


def drive(port: int, request: Request, duration: float, scripts: Path, cores: Iterable[int]) -> Load:
    """Run wrk with one thread on these cores."""
    command = wrk(port, request, duration, scripts)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise LoadFailed(f"wrk ended with {done.returncode}: {done.stderr.strip()}")
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return parse(done.stdout)._replace(generator_cpu=used)


def drive_sockets(port: int, connections: int, size: int, duration: float, cores: Iterable[int]) -> Load:
    """WebSockets that say the same again and again, each when its echo has come."""
    program = Path(__file__).resolve().parent / ".build" / "wsload"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [str(program), str(port), str(connections), str(size), str(duration)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise LoadFailed(f"wsload ended with {done.returncode}: {done.stderr.strip()}")
    messages, took = done.stdout.split()
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Load(int(messages), float(took), 0.0, 0.0, "", used)


def wrk(port: int, request: Request, duration: float, scripts: Path) -> list[str]:
    """The command that sends `request` for so long."""
    command = ["wrk", "-t1", f"-c{request.connections}", f"-d{max(1, round(duration))}s", "--latency"]
    for header in request.headers:
        command += ["-H", header]
    if request.script:
        command += ["-s", str(scripts / request.script)]
    return [*command, "--timeout", "10s", f"http://{HOST}:{port}{request.path}"]


@contextmanager
def beside(port: int, request: Request, duration: float, scripts: Path, cores: Iterable[int]) -> Iterator[list[Load]]:
    """Another load in the background; the list has its result afterwards."""
    results: list[Load] = []
    with subprocess.Popen(
        wrk(port, request, duration, scripts),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    ) as process:
        try:
            yield results
            output, _ = process.communicate(timeout=duration + 30)
        finally:
            process.kill()
    results.append(parse(output))


def ask(port: int, request: Request, timeout: float = 5.0) -> Answer:
    """Send the request once, read all of the answer."""
    connection = http.client.HTTPConnection(HOST, port, timeout=timeout)
    headers = dict(line.split(": ", 1) for line in request.headers)
    try:
        connection.request(
            "POST" if request.body_size else "GET", request.path, b"x" * request.body_size or None, headers
        )
        response = connection.getresponse()
        body = response.read()
        head_size = sum(len(name) + len(value) + 4 for name, value in response.getheaders()) + 2
        head_size += len(f"HTTP/1.1 {response.status} {response.reason}\r\n")
        return Answer(response.status, body, head_size, connection.sock is not None)
    finally:
        connection.close()


def fault(answer: Answer, request: Request) -> str:
    """Why the answer is not the right one; empty when it is."""
    if answer.status != 200:
        return f"status {answer.status}"
    if request.whole and answer.body != request.expect:
        return f"body is {answer.body[:40]!r}, not {request.expect[:40]!r}"
    if request.expect not in answer.body:
        return f"body lacks {request.expect[:40]!r}"
    if request.size and len(answer.body) != request.size:
        return f"body has {len(answer.body)} bytes, not {request.size}"
    return ""


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def visit(port: int, request: Request, count: int, at_once: int = 10) -> None:
    """Send a counted number of requests, in turn, over a few connections that stay open where the server lets them."""
    clients = [http.client.HTTPConnection(HOST, port, timeout=5) for _ in range(at_once)]
    for number in range(count):
        client = clients[number % at_once]
        client.request("GET", "/")
        if client.getresponse().read() != request.expect:
            raise LoadFailed(f"request {number + 1} of {count} got a wrong answer")
    for client in clients:
        client.close()
