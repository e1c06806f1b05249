"""The logs: one write a line, and nothing that happens to a log happens to the server."""

from __future__ import annotations

import errno
import json
import os
import re
import select
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostler.errors import HostlerError
from hostler.logs import DEBUG, ERROR, Logs, ensure_standard_streams
from hostler.proc.fork import fork


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "error.log"


@pytest.fixture
def logs(path: Path) -> Iterator[Logs]:
    made = Logs(str(path))
    yield made
    made.close()


def test_line(logs: Logs, path: Path) -> None:
    logs.info("hello é")
    assert re.fullmatch(
        rf"\[\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{{4}}\] \[{os.getpid()}\] \[INFO\] hello é\n",
        path.read_text(encoding="utf-8"),
    )


@pytest.mark.parametrize(
    ("level", "shown"), [(DEBUG, "DEBUG INFO WARNING ERROR"), (30, "WARNING ERROR"), (ERROR, "ERROR")]
)
def test_levels(path: Path, level: int, shown: str) -> None:
    logs = Logs(str(path), level=level)
    for write in (logs.debug, logs.info, logs.warning, logs.error):
        write("x")
    logs.close()
    assert re.findall(r"\[([A-Z]+)\] x", path.read_text()) == shown.split()


def test_each_line_is_one_write(logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[bytes] = []
    real = os.write

    def write(fd: int, data: bytes) -> int:
        writes.append(bytes(data))
        return real(fd, data)

    monkeypatch.setattr(os, "write", write)
    logs.info("short")
    logs.error("long\n" + "x" * 100_000)
    logs.app_error("GET /", "127.0.0.1:5", ValueError("bad"))
    stream = logs.errors_stream()
    print("several", "words", file=stream)
    stream.write("x" * 50_000 + "\n")
    assert len(writes) == 5
    assert all(data.endswith(b"\n") for data in writes)
    assert writes[3] == b"several words\n"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EPIPE, errno.EAGAIN, errno.EBADF, errno.EIO])
def test_log_that_cannot_be_written_is_no_error(
    logs: Logs, path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def fail(fd: int, data: object) -> int:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fail)
        logs.info("lost")
        stream = logs.errors_stream()
        print("lost", file=stream)
        stream.write("half a line")
        stream.flush()
    logs.info("found")
    assert "found" in path.read_text()
    assert "lost" not in path.read_text()


def test_reader_that_has_stalled_costs_lines_and_no_time() -> None:
    reader, writer = os.pipe()
    logs = Logs()
    logs.error_fd = writer
    started = time.monotonic()
    for number in range(3):
        logs.info(f"line {number} " + "x" * 50_000)
    assert time.monotonic() - started < 5.0
    text = b""
    while select.select([reader], [], [], 0)[0]:
        text += os.read(reader, 1 << 16)
    assert b"line 0" in text
    assert b"line 2" not in text
    logs.info("after")
    assert os.read(reader, 1 << 16).endswith(b"[INFO] after\n")
    os.close(reader)
    logs.info("to nobody")
    os.close(writer)
    logs.info("to nothing")


def test_full_disk_costs_lines_and_is_said_once_on_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    logs = Logs("/dev/full")
    for _ in range(2):
        logs.error("lost")
        print("lost", file=logs.errors_stream(), flush=True)
    logs.close()
    told = "hostler: error_log /dev/full: No space left on device; its lines are lost until it can be written\n"
    assert capfd.readouterr() == ("", told)


def test_app_error_has_the_traceback_and_its_causes(logs: Logs, path: Path) -> None:
    try:
        try:
            {}["key"]  # type: ignore[index]
        except KeyError as error:
            raise ValueError("bad") from error
    except ValueError as error:
        logs.app_error("GET /x\n[INFO] forged", "127.0.0.1:5", error)
    text = path.read_text()
    assert "[ERROR] GET /x\\n[INFO] forged from 127.0.0.1:5 failed in the app\nTraceback" in text
    assert "KeyError: 'key'" in text
    assert text.endswith("ValueError: bad\n")


def test_errors_stream_is_what_wsgi_asks_for(logs: Logs, path: Path) -> None:
    stream = logs.errors_stream()
    stream.write("begun ")
    assert path.read_text() == ""
    stream.write("and ended\n")
    assert path.read_text() == "begun and ended\n"
    stream.writelines(["a\n", "b\udcff\n"])
    stream.write("rest")
    stream.flush()
    assert path.read_text() == "begun and ended\na\nb\\udcff\nrest"
    assert stream.writable()
    assert stream.fileno() == logs.error_fd


def test_reopen_follows_a_moved_file_on_the_same_descriptor(logs: Logs, path: Path) -> None:
    fd = logs.error_fd
    stream = logs.errors_stream()
    logs.info("one")
    path.rename(path.with_suffix(".1"))
    logs.info("two")
    logs.reopen()
    logs.info("three")
    print("four", file=stream)
    assert logs.error_fd == fd
    assert not os.get_inheritable(fd)
    assert re.findall("one|two|three|four", path.with_suffix(".1").read_text()) == ["one", "two"]
    assert re.findall("one|two|three|four", path.read_text()) == ["three", "four"]


def test_reopen_that_fails_keeps_the_old_file(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    logs = Logs(str(folder / "error.log"))
    folder.rename(tmp_path / "moved")
    logs.reopen()
    logs.info("still here")
    logs.close()
    text = (tmp_path / "moved" / "error.log").read_text()
    assert "cannot reopen" in text
    assert "still here" in text


def test_reopen_after_chdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    logs = Logs("error.log")
    monkeypatch.chdir("/")
    (tmp_path / "error.log").unlink()
    logs.reopen()
    logs.close()
    assert (tmp_path / "error.log").exists()


def test_standard_streams() -> None:
    logs = Logs("-", "-")
    assert (logs.error_fd, logs.access_fd) == (2, 1)
    logs.reopen()
    assert Logs().access_fd == -1


def test_nothing_is_opened_unless_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Logs().reopen()
    assert os.listdir(tmp_path) == []


def test_file_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(HostlerError, match=rf"^access_log {tmp_path}/no/x: No such file or directory$"):
        Logs("-", str(tmp_path / "no" / "x"))


def test_closed_standard_streams_are_filled() -> None:
    """Else the first socket would be number 2, and the error log would go to its client."""

    def main() -> int:
        os.close(0)
        os.close(2)
        ensure_standard_streams()
        return 0 if os.open("/dev/null", os.O_RDONLY) > 2 and os.get_inheritable(2) else 9

    pid = fork(lambda: None, main, {})
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_everything_in_an_entry_is_escaped_but_its_line_ends(logs: Logs, path: Path) -> None:
    seen: list[str] = []
    logs.send_errors_to([lambda level, message: seen.append(message)])
    logs.error("one\x1b[2J\ntwo\u202e\x85")
    assert path.read_text(encoding="utf-8").partition("[ERROR] ")[2] == "one\\x1b[2J\ntwo\\u202e\\x85\n"
    assert seen == ["one\\x1b[2J\ntwo\\u202e\\x85"]
    logs.error("one\n[2026-11-20] [1] [INFO] forged")
    assert path.read_text(encoding="utf-8").endswith("] [ERROR] one\n [2026-11-20] [1] [INFO] forged\n")
    logs.app_error("GET /\u2028", "1.2.3.4\x9b", ValueError("\x1b]0;x\x07"))
    text = path.read_text(encoding="utf-8")
    assert "GET /\\u2028 from 1.2.3.4\\x9b failed in the app\n" in text
    assert text.endswith("ValueError: \\x1b]0;x\\x07\n")


def test_facts_stand_behind_the_event_and_can_be_parsed(logs: Logs, path: Path) -> None:
    logs.warning("worker slow\nits stack", worker=0, pid=None, reason='a "b" = c\nd\\', path="/x", empty="")
    [line, stack] = path.read_text().splitlines()
    assert line.endswith(r'[WARNING] worker slow worker=0 reason="a \"b\" = c\nd\\" path=/x empty=""')
    assert stack == "its stack"
    [quoted] = re.findall(r'reason=("(?:[^"\\]|\\.)*")', line)
    assert json.loads(quoted) == 'a "b" = c\nd\\'


def test_sink_that_raises_loses_its_lines_and_is_told_of_once_in_a_row(
    logs: Logs, path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    seen: list[str] = []
    is_broken = True

    def sink(level: int, message: str) -> None:
        if is_broken:
            raise KeyError("no\x1b[2J such\nfield")
        seen.append(message)

    logs.send_errors_to([sink])
    logs.reopen_too([lambda: sink(0, "")])
    logs.error("one")
    logs.error("two")
    logs.reopen()
    said = "logging raised KeyError: 'no\\x1b[2J such\\nfield'; lines are lost until it does not\n"
    assert capfd.readouterr().err == f"hostler: error_log: {said}hostler: reopening: {said}"
    is_broken = False
    logs.error("three")
    is_broken = True
    logs.error("four")
    assert capfd.readouterr().err == f"hostler: error_log: {said}"
    assert seen == ["three"]
    assert [line.rpartition(" ")[2] for line in path.read_text().splitlines()] == ["one", "two", "three", "four"]


def test_full_disk_is_told_elsewhere_and_what_is_lost_when_there_is_room_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "error.log"
    logs = Logs(str(path))
    write = os.write

    def full(fd: int, data: bytes) -> int:
        if fd == logs.error_fd:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(fd, data)

    monkeypatch.setattr(os, "write", full)
    for _ in range(3):
        logs.warning("lost")
    said = f"hostler: error_log {path}: No space left on device; its lines are lost until it can be written\n"
    assert capfd.readouterr().err == said
    monkeypatch.undo()
    logs.warning("here")
    first, second = path.read_text().splitlines()
    assert first.endswith("[WARNING] 3 lines of the error log could not be written")
    assert second.endswith("[WARNING] here")
    logs.close()
