"""A pid that another process names: whether it is a child that was orphaned into our care, and nothing else."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterator

import pytest

from hostler.proc.adoption import moment, why_foreign
from hostler.proc.fork import fork
from hostler.proc.reap import adopt_orphans, has_ended

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_CHILD_SUBREAPER")


@pytest.fixture
def subreaper() -> Iterator[None]:
    adopt_orphans()
    yield
    ctypes.CDLL(None).prctl(36, 0, 0, 0, 0)


def orphan(seconds: float, uid: int | None = None) -> int:
    """A grandchild whose parent has ended."""
    reader, writer = os.pipe()

    def middle() -> int:
        pid = os.fork()
        if pid == 0:
            if uid is not None:
                os.setresuid(uid, uid, uid)
            time.sleep(seconds)
            os._exit(0)
        os.write(writer, str(pid).encode())
        return 0

    parent = fork(lambda: None, middle, {})
    pid = int(os.read(reader, 32))
    assert has_ended(parent, 10.0)
    os.close(reader)
    os.close(writer)
    return pid


def sleep() -> int:
    time.sleep(60)
    return 0


def end(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    assert has_ended(pid, 10.0)


def test_orphan_that_was_born_after_the_request_is_ours(subreaper: None) -> None:
    since = moment()
    pid = orphan(60)
    assert why_foreign(str(pid), since, os.getpid()) == ""
    end(pid)


def test_orphan_that_has_ended_is_ours_until_it_is_reaped(subreaper: None) -> None:
    since = moment()
    pid = orphan(0)
    time.sleep(0.05)
    assert why_foreign(str(pid), since, os.getpid()) == ""
    assert has_ended(pid, 10.0)
    assert why_foreign(str(pid), since, os.getpid()) == "it is no child of this process"


def test_older_orphan_is_refused(subreaper: None) -> None:
    pid = orphan(60)
    time.sleep(0.02)
    assert why_foreign(str(pid), moment(), os.getpid()) == "it is older than the request"
    end(pid)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_orphan_of_another_user_is_refused(subreaper: None) -> None:
    since = moment()
    pid = orphan(60, uid=65534)
    time.sleep(0.05)
    assert why_foreign(str(pid), since, os.getpid()) == "it runs as another user"
    end(pid)


def test_child_that_this_process_has_forked_is_refused() -> None:
    since = moment()
    pid = fork(lambda: None, sleep, {})
    assert why_foreign(str(pid), since, os.getpid()) == "it is a child that this process has forked itself"
    end(pid)


@pytest.mark.parametrize("text", ["1", "0", "-7", "", "seven", str(2**31), "7" * 9999, "\u0664"])
def test_what_is_no_pid_is_refused(text: str) -> None:
    assert why_foreign(text, 0, os.getpid()) == "it is no pid"


def test_other_process_of_the_machine_is_refused() -> None:
    assert why_foreign(str(os.getppid()), 0, os.getpid()) == "it is no child of this process"
