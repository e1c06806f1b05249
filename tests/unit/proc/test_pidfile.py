"""The pid file: whose it is, and when it may be replaced or removed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostler.errors import HostlerError
from hostler.proc.pidfile import Pidfile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hostler.pid"


@pytest.fixture
def other() -> Iterator[int]:
    """The pid of another living process."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process.pid
        process.communicate(b"\n")


def test_written_whole_and_removed(path: Path) -> None:
    pidfile = Pidfile(str(path))
    pidfile.write()
    assert path.read_text() == f"{os.getpid()}\n"
    assert os.listdir(path.parent) == [path.name]
    pidfile.remove()
    assert not path.exists()


@pytest.mark.parametrize("content", ["", "\n", "not a pid", "-5", "0", "99999999999999999999", "4194305\n", "12 34"])
def test_stale_file_is_replaced(path: Path, content: str) -> None:
    path.write_text(content)
    Pidfile(str(path)).write()
    assert path.read_text() == f"{os.getpid()}\n"


def test_file_of_a_living_process_is_refused(path: Path, other: int) -> None:
    path.write_text(f"{other}\n")
    with pytest.raises(HostlerError, match=rf"^pidfile {path}: it belongs to .*{other}.* which is running$"):
        Pidfile(str(path)).write()
    assert path.read_text() == f"{other}\n"


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_pid_that_was_given_to_another_process_is_stale(path: Path, other: int) -> None:
    """After a reboot, or in a fresh container, the number in the file is another process's."""
    path.write_text(f"{other}\n")
    an_hour_ago = time.time() - 3600
    os.utime(path, (an_hour_ago, an_hour_ago))
    Pidfile(str(path)).write()
    assert path.read_text() == f"{os.getpid()}\n"


def test_own_pid_is_stale(path: Path) -> None:
    """Process 1 of a container that was killed finds its own number."""
    path.write_text(f"{os.getpid()} of the last container\n")
    Pidfile(str(path)).write()
    assert path.read_text() == f"{os.getpid()}\n"


def test_file_of_a_successor_is_not_removed(path: Path) -> None:
    pidfile = Pidfile(str(path))
    pidfile.write()
    path.write_text("1\n")
    pidfile.remove()
    assert path.exists()


def test_removing_what_is_gone_is_no_error(path: Path) -> None:
    pidfile = Pidfile(str(path))
    pidfile.write()
    path.unlink()
    pidfile.remove()
    assert not path.exists()
    pidfile.write()
    assert path.read_text() == f"{os.getpid()}\n", "it can be made again"


def test_folder_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(HostlerError, match="No such file or directory"):
        Pidfile(str(tmp_path / "no" / "x.pid")).write()


def test_path_is_kept_through_chdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pidfile = Pidfile("x.pid")
    monkeypatch.chdir("/")
    pidfile.write()
    assert (tmp_path / "x.pid").exists()
    pidfile.remove()


def test_links_in_the_place_of_a_draft_are_not_followed(path: Path) -> None:
    """The draft's name was the file's and our pid, which others could know."""
    victim = path.parent / "victim"
    victim.write_text("precious")
    for name in (f"{path}.{os.getpid()}", f"{path}.tmp"):
        os.symlink(victim, name)
    Pidfile(str(path)).write()
    assert victim.read_text() == "precious"
    assert path.read_text() == f"{os.getpid()}\n"


def test_fifo_in_the_place_of_the_file_is_replaced(path: Path) -> None:
    os.mkfifo(path)
    Pidfile(str(path)).write()
    assert path.read_text() == f"{os.getpid()}\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of others")
def test_file_of_another_user_does_not_stop_root_where_others_can_make_names(path: Path, other: int) -> None:
    os.chown(path.parent, 54321, 54321)
    path.write_text(f"{other}\n")
    os.chown(path, 54321, 54321)
    Pidfile(str(path)).write()
    assert path.read_text() == f"{os.getpid()}\n"
