"""What the operator reads about a worker that runs no Python any more."""

from __future__ import annotations

import pytest

from hostler.arbiter.diagnosis import can_answer, explain
from hostler.proc.threads import Thread
from hostler.stats.scoreboard import Request

MAIN = Thread(12, "hostler", "S", "futex", "futex_do_wait")
LOCKED = Thread(13, "hostler", "S", "futex", "futex_do_wait")
SLEEPS = Thread(14, "hostler", "S", "clock_nanosleep", "hrtimer_nanosleep")
RUNS = Thread(15, "hostler", "R", "", "")
POLLS = Thread(16, "hostler", "S", "epoll_wait", "do_epoll_wait")
MONITOR = Thread(17, "hostler-monitor", "R", "", "")
SECOND = 1_000_000_000

BUSY = """Thread 0x0000000000000001 (most recent call first):
  File "/srv/app.py", line 9 in application
  File "/lib/hostler/worker/worker.py", line 8 in _run_thread
"""
IDLE = """Thread 0x0000000000000002 (most recent call first):
  File "/lib/hostler/worker/worker.py", line 8 in _run_thread
  File "/lib/threading.py", line 7 in run
"""


def request(tid: int, path: str = "/hold") -> Request:
    return Request(tid, 10 * SECOND, "GET", path)


def said(*threads: Thread, requests: tuple[Request, ...] = (), stacks: str = "") -> str:
    return explain("worker=0 pid=12", 30.0, threads, requests, stacks, 42 * SECOND)


@pytest.mark.parametrize("state", ["T", "t"])
def test_stopped(state: str) -> None:
    assert said(MAIN._replace(state=state), RUNS) == (
        "worker stopped (SIGSTOP, or a debugger); a new one starts worker=0 pid=12 silent_for=30s option=worker_timeout"
    )


def test_in_the_kernel() -> None:
    assert said(MAIN._replace(state="D", call="read", place="nfs_wait")) == (
        "worker waits in the kernel (nfs_wait); a new one starts worker=0 pid=12 silent_for=30s option=worker_timeout"
    )


def test_thread_that_holds_the_lock_is_named_with_its_request() -> None:
    assert said(MAIN, LOCKED, SLEEPS, MONITOR, POLLS, requests=(request(14), request(13, "/other"))) == (
        "worker unresponsive, native code keeps the GIL; a new one starts "
        "worker=0 pid=12 silent_for=30s option=worker_timeout\n"
        "it is held by thread 14 (hostler), which sleeps in clock_nanosleep, in GET /hold since 32.0s"
    )


def test_request_that_only_waits_for_the_lock_is_not_blamed() -> None:
    text = said(MAIN, LOCKED, RUNS, requests=(request(13, "/victim"),))
    assert "it is held by thread 15 (hostler), which is running, without a request" in text
    assert "/victim" not in text


def test_several_that_may_hold_it_the_running_one_first() -> None:
    text = said(MAIN, SLEEPS, RUNS, requests=(request(14, "/sleeps"), request(15, "/runs")))
    assert text.splitlines()[1:] == [
        "it is held by one of these, the likeliest first:",
        "  thread 15 (hostler), which is running, in GET /runs since 32.0s",
        "  thread 14 (hostler), which sleeps in clock_nanosleep, in GET /sleeps since 32.0s",
    ]


def test_threads_at_rest_and_native_ones_are_not_blamed() -> None:
    assert "no thread is seen that could hold it: all wait for locks" in said(MAIN, LOCKED, POLLS, MONITOR)


@pytest.mark.parametrize(
    ("main", "doing"),
    [(MAIN._replace(state="R", call=""), "is running"), (MAIN._replace(call="write"), "sleeps in write")],
)
def test_main_thread_that_is_kept_elsewhere(main: Thread, doing: str) -> None:
    text = said(main, SLEEPS, requests=(request(14),))
    assert f"worker unresponsive, its main thread {doing}; a new one starts worker=0" in text
    assert "held" not in text


def test_supervising_thread_beside_the_main_one_is_looked_at() -> None:
    """In workers whose main thread runs the app."""
    watch = MAIN._replace(tid=20, name="hostler-watch")
    text = said(MAIN._replace(state="R", call=""), SLEEPS, watch, requests=(request(14),))
    assert "native code keeps the GIL" in text
    assert "thread 12 (hostler), which is running" in said(MAIN._replace(state="R", call=""), LOCKED, watch)
    kept = said(MAIN, SLEEPS, watch._replace(call="write"), requests=(request(14),))
    assert "its supervising thread sleeps in write; a new one starts" in kept


def test_where_the_kernel_does_not_say_it_is_taken_to_be_the_lock() -> None:
    text = said(MAIN._replace(call="", place=""), SLEEPS._replace(call="", place=""), requests=(request(14),))
    assert "keeps the GIL" in text
    assert "thread 14 (hostler), which sleeps in a system call, in GET /hold" in text


def test_without_proc_there_are_the_stacks() -> None:
    text = said(stacks=BUSY)
    assert text.startswith(
        "worker unresponsive; a new one starts worker=0 pid=12 silent_for=30s option=worker_timeout\n"
    )
    assert 'File "/srv/app.py", line 9 in application' in text


def test_stacks_of_idle_threads_are_only_counted() -> None:
    text = said(MAIN, SLEEPS, requests=(request(14),), stacks=f"{BUSY}\n{IDLE}\n{IDLE}")
    assert text.count("Thread 0x") == 1
    assert text.endswith("\n(2 more wait for requests)")
    assert "Python stacks:\nThread 0x0000000000000001 (most recent call first):\n" in text


def test_stack_is_named_when_it_lies_right_above_a_native_one_and_that_of_the_suspect_comes_first() -> None:
    other = BUSY.replace("0x0000000000000001", "0x00007f0001000000").replace("line 9", "line 5")
    mine = BUSY.replace("0x0000000000000001", "0x00007f0002000000")
    threads = (MAIN, LOCKED._replace(stack=0x7F0001000000 - 4096), SLEEPS._replace(stack=0x7F0002000000 - 4096))
    text = said(*threads, requests=(request(14), request(13, "/other")), stacks=f"{other}\n{mine}\n{BUSY}")
    heads = [line for line in text.splitlines() if "most recent" in line]
    assert heads == [
        "thread 14 (hostler): Thread 0x00007f0002000000 (most recent call first):",
        "thread 13 (hostler): Thread 0x00007f0001000000 (most recent call first):",
        "Thread 0x0000000000000001 (most recent call first):",
    ]
    assert text.index("line 9") < text.index("line 5")


def test_text_of_a_client_stays_in_its_line() -> None:
    text = said(MAIN, SLEEPS, requests=(request(14, "/\x1b[2J"),))
    assert "\\x1b" in text


@pytest.mark.parametrize(("state", "answer"), [("S", True), ("R", True), ("T", False), ("t", False), ("D", False)])
def test_who_can_be_asked_for_stacks(state: str, answer: bool) -> None:
    assert can_answer([MAIN._replace(state=state), RUNS]) is answer
    assert can_answer([]) is True
