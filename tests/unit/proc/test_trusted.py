"""What root opens, makes and removes by a name that others may have changed."""

from __future__ import annotations

import os
import pty
import stat
from pathlib import Path

import pytest

from hostler.proc import trusted
from hostler.proc.places import Ids
from tests.unit.helpers.places import APP, OTHER, ROOT, WORKERS, directory

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="the rule is about root")


def append(path: Path | str, workers: Ids | None = None) -> None:
    fd = trusted.open_log(str(path), workers)
    try:
        assert os.get_blocking(fd)
        os.write(fd, b"line\n")
    finally:
        os.close(fd)


# --- Logs ---


def test_log_is_made_and_appended_to(tmp_path: Path) -> None:
    append(tmp_path / "log")
    append(tmp_path / "log")
    assert (tmp_path / "log").read_text() == "line\nline\n"
    os.truncate(tmp_path / "log", 0)  # logrotate: copytruncate
    append(tmp_path / "log")
    assert (tmp_path / "log").read_text() == "line\n"


@needs_root
@pytest.mark.parametrize("kind", ["roots", "everybody's, sticky", "the workers'"])
def test_log_that_is_made_belongs_to_the_workers(tmp_path: Path, kind: str) -> None:
    log = directory(tmp_path / "d", kind) / "log"
    append(log, WORKERS)
    assert (log.stat().st_uid, log.stat().st_gid) == (APP, APP)
    append(log, WORKERS)


@needs_root
def test_log_that_is_there_keeps_its_owner_unless_it_is_empty(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("secret")
    (tmp_path / "fresh").touch(0o640)  # logrotate: create
    (tmp_path / "empty").touch(0o600)
    (tmp_path / "link").symlink_to("empty")
    for name in ("old", "fresh", "link"):
        append(tmp_path / name, WORKERS)
    assert [(tmp_path / name).stat().st_uid for name in ("old", "fresh", "empty")] == [ROOT, APP, ROOT]


@needs_root
@pytest.mark.parametrize(
    ("kind", "owner", "is_used"),
    [
        ("roots", OTHER, True),
        ("roots, of another group", ROOT, True),
        ("roots, of another group", APP, True),
        ("roots, of another group", OTHER, False),
        ("everybody's, sticky", APP, True),
        ("everybody's, sticky", OTHER, False),
        ("the workers'", APP, True),
        ("the workers'", OTHER, False),
        ("another user's", OTHER, True),
        ("another user's", APP, True),
    ],
)
def test_log_of_a_user_who_has_nothing_to_do_with_it_is_refused(
    tmp_path: Path, kind: str, owner: int, is_used: bool
) -> None:
    log = directory(tmp_path / "d", kind) / "log"
    log.write_text("before\n")
    os.chown(log, owner, owner)
    if is_used:
        append(log, WORKERS)
        assert log.stat().st_uid == owner
    else:
        with pytest.raises(OSError, match=f"it belongs to user {owner}, in {log.parent}"):
            append(log, WORKERS)
        assert log.read_text() == "before\n"


@needs_root
def test_log_with_a_second_name_is_refused_where_others_can_make_names(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("")
    log = directory(tmp_path / "d", "the workers'") / "log"
    os.link(victim, log)
    with pytest.raises(OSError, match="it has 2 names"):
        append(log, WORKERS)
    assert (victim.stat().st_uid, victim.read_text()) == (ROOT, "")


def test_fifo_without_a_reader_is_an_error_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "log")
    with pytest.raises(OSError, match=r"FIFO that no process reads|No such device or address"):
        append(tmp_path / "log")


@needs_root
@pytest.mark.parametrize(
    ("kind", "owner", "is_used"),
    [
        ("roots", APP, True),
        ("the workers'", ROOT, True),
        ("the workers'", APP, False),
        ("everybody's, sticky", APP, False),
    ],
)
def test_fifo_with_a_reader_is_used_when_others_cannot_have_made_it(
    tmp_path: Path, kind: str, owner: int, is_used: bool
) -> None:
    log = directory(tmp_path / "d", kind) / "log"
    os.mkfifo(log)
    os.chown(log, owner, owner)
    reader = os.open(log, os.O_RDONLY | os.O_NONBLOCK)
    try:
        if is_used:
            append(log, WORKERS)
            assert os.read(reader, 100) == b"line\n"
            assert log.stat().st_uid == owner
        else:
            with pytest.raises(OSError, match=f"it is a FIFO of user {APP}"):
                append(log, WORKERS)
    finally:
        os.close(reader)


def test_terminal_and_devices_are_written_to(tmp_path: Path) -> None:
    append("/dev/null")
    ours, theirs = pty.openpty()
    try:
        append(os.ttyname(theirs))
        assert os.read(ours, 100) == b"line\r\n"
    finally:
        os.close(ours)
        os.close(theirs)


def test_standard_streams_are_written_to(capfd: pytest.CaptureFixture[str]) -> None:
    append("/dev/stdout")
    append("/dev/stderr")
    append("/proc/self/fd/1")
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("line\nline\n", "line\n")


# --- Files that root reads ---


@needs_root
def test_file_to_read_is_regular_where_others_can_make_names(tmp_path: Path) -> None:
    place = directory(tmp_path / "d", "the workers'")
    (place / "regular").write_text("text")
    with open(place / "regular", opener=trusted.opener) as file:
        assert file.read() == "text"
    os.mkfifo(place / "fifo")
    with pytest.raises(OSError, match="it is no regular file"):
        open(place / "fifo", opener=trusted.opener)  # noqa: SIM115


def test_pipe_that_an_operator_names_is_read() -> None:
    """`--config <(make-config)`."""
    reader, writer = os.pipe()
    os.write(writer, b"workers = 2\n")
    os.close(writer)
    with open(f"/dev/fd/{reader}", opener=trusted.opener) as file:
        assert file.read() == "workers = 2\n"
    os.close(reader)


# --- Files that are replaced and removed ---


def test_file_is_replaced_whole_and_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("victim")
    (tmp_path / "file").symlink_to("victim")
    trusted.replace(str(tmp_path / "file"), "text")
    assert (tmp_path / "victim").read_text() == "victim"
    assert (tmp_path / "file").read_text() == "text"
    assert not (tmp_path / "file").is_symlink()
    assert sorted(os.listdir(tmp_path)) == ["file", "victim"]


def test_file_that_cannot_be_replaced_leaves_no_draft(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(OSError):
        trusted.replace(str(tmp_path / "file"), "text")
    assert os.listdir(tmp_path) == ["file"]


@needs_root
def test_file_of_others_is_not_believed_where_they_can_make_names(tmp_path: Path) -> None:
    place = directory(tmp_path / "d", "the workers'")
    (place / "mine").write_text("1")
    (place / "theirs").write_text("2")
    os.chown(place / "theirs", APP, APP)
    assert trusted.read(f"{place}/mine", 9)[0] == "1"
    with pytest.raises(OSError, match=f"it belongs to user {APP}"):
        trusted.read(f"{place}/theirs", 9)


@needs_root
def test_file_behind_a_link_of_others_is_not_removed(tmp_path: Path) -> None:
    directory(tmp_path / "app", "the workers'")
    directory(tmp_path / "app/run", "roots")
    directory(tmp_path / "etc", "roots")
    for name in ("app/run", "etc"):
        (tmp_path / name / "x").touch()
    inode = trusted.identify(f"{tmp_path}/app/run/x")
    assert inode is not None
    (tmp_path / "app/run").rename(tmp_path / "app/moved")
    (tmp_path / "app/run").symlink_to(tmp_path / "etc")
    found = (tmp_path / "etc/x").stat()
    trusted.remove(f"{tmp_path}/app/run/x", (found.st_dev, found.st_ino))
    assert (tmp_path / "etc/x").exists()
    trusted.remove(f"{tmp_path}/app/moved/x", inode)
    assert not (tmp_path / "app/moved/x").exists()


# --- Directories of our own ---


def test_directory_of_our_own_is_made_for_us_alone(tmp_path: Path) -> None:
    trusted.own_directory(str(tmp_path / "d"))
    assert stat.S_IMODE((tmp_path / "d").stat().st_mode) == 0o700
    trusted.own_directory(str(tmp_path / "d"))


@needs_root
@pytest.mark.parametrize("kind", ["the workers'", "everybody's", "everybody's, sticky"])
def test_directory_that_others_have_made_is_refused(tmp_path: Path, kind: str) -> None:
    directory(tmp_path / "d", kind)
    with pytest.raises(OSError, match="is not a directory that this user alone can change"):
        trusted.own_directory(str(tmp_path / "d"))


def test_link_in_the_place_of_our_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(0o700)
    (tmp_path / "d").symlink_to("elsewhere")
    with pytest.raises(OSError, match="is not a directory"):
        trusted.own_directory(str(tmp_path / "d"))
