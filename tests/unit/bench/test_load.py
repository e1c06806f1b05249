"""wrk's output is read exactly, and wrong answers are told from right ones."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from bench.load import Answer, LoadFailed, Request, beside, fault, parse, seconds, wrk

GOOD = """Running 3s test @ http://127.0.0.1:8000/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   241.89us   96.46us   2.29ms   87.71%
    Req/Sec   143.19k    11.39k  159.02k    63.64%
  Latency Distribution
     50%  221.00us
     75%  264.00us
     90%  340.00us
     99%    1.50ms
  440525 requests in 3.10s, 19.55MB read
Requests/sec: 142031.28
Transfer/sec:     17.74MB
"""
SOCKET_ERRORS = "  Socket errors: connect 0, read 17, write 0, timeout 3\n"
STATUS_ERRORS = "  Non-2xx or 3xx responses: 12\n"


def test_a_clean_run_is_read() -> None:
    load = parse(GOOD)
    assert load[:4] == pytest.approx((440525, 3.10, 221e-6, 1.5e-3))
    assert load.errors == ""


@pytest.mark.parametrize("line", [SOCKET_ERRORS, STATUS_ERRORS])
def test_errors_are_kept_in_wrks_words(line: str) -> None:
    text = GOOD.replace("Requests/sec", line + "Requests/sec")
    assert parse(text).errors == line.strip()


def test_both_kinds_of_errors_are_kept() -> None:
    text = GOOD.replace("Requests/sec", SOCKET_ERRORS + STATUS_ERRORS + "Requests/sec")
    assert parse(text).errors == f"{SOCKET_ERRORS.strip()}; {STATUS_ERRORS.strip()}"


def test_a_run_without_answers_is_an_error() -> None:
    text = GOOD.replace("440525 requests", "0 requests").replace("221.00us", "0.00us").replace("1.50ms", "0.00us")
    assert parse(text).errors == "no request was answered"


@pytest.mark.parametrize("text", ["", "unable to connect to 127.0.0.1:1 Connection refused\n"])
def test_no_result_is_a_failure(text: str) -> None:
    with pytest.raises(LoadFailed, match="no result"):
        parse(text)


@pytest.mark.parametrize(("text", "value"), [("12.50us", 12.5e-6), ("3.00ms", 0.003), ("1.10s", 1.1), ("2.00m", 120)])
def test_times(text: str, value: float) -> None:
    assert seconds(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "12", "1h", "ms"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(LoadFailed, match="not a time"):
        seconds(text)


WHOLE = Request(b"Hello")
PART = Request(b"ell", whole=False, size=5)


@pytest.mark.parametrize("request_", [WHOLE, PART])
def test_a_right_answer_has_no_fault(request_: Request) -> None:
    assert fault(Answer(200, b"Hello", 100, True), request_) == ""


@pytest.mark.parametrize(
    ("answer", "request_", "words"),
    [
        (Answer(500, b"Hello", 100, True), WHOLE, "status 500"),
        (Answer(200, b"Hell", 100, True), WHOLE, "body is"),
        (Answer(200, b"Hexlo", 100, True), PART, "lacks"),
        (Answer(200, b"Hello!", 100, True), PART, "6 bytes, not 5"),
    ],
)
def test_a_wrong_answer_is_named(answer: Answer, request_: Request, words: str) -> None:
    assert words in fault(answer, request_)


def test_wrk_is_told_the_whole_request() -> None:
    request = Request(b"", headers=("A: b",), script="x.lua", connections=200, path="/wait")
    words = wrk(4711, request, 2.6, Path("/lua"))
    assert words[-1] == "http://127.0.0.1:4711/wait"
    assert {"-c200", "-d3s"} <= set(words)
    assert words[words.index("-H") + 1] == "A: b"
    assert words[words.index("-s") + 1] == "/lua/x.lua"


def play_wrk(directory: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program = directory / "wrk"
    program.write_text(f"#!/bin/sh\n{script}")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")


def test_a_load_beside_has_its_result_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    play_wrk(tmp_path, monkeypatch, f"cat <<END\n{GOOD}\nEND\n")
    with beside(1, Request(b""), 1, tmp_path, os.sched_getaffinity(0)) as results:
        assert results == []
    assert [load.requests for load in results] == [440525]


def test_a_load_beside_ends_with_what_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    play_wrk(tmp_path, monkeypatch, f"echo $$ >{tmp_path}/pid; exec sleep 60")
    process = ""

    def fail_while_it_runs() -> None:
        nonlocal process
        with beside(1, Request(b""), 60, tmp_path, os.sched_getaffinity(0)):
            deadline = time.monotonic() + 20
            while not process and time.monotonic() < deadline:
                time.sleep(0.01)
                process = (tmp_path / "pid").read_text().strip() if (tmp_path / "pid").exists() else ""
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_while_it_runs()
    assert process
    assert not Path("/proc", process).exists()
