"""The benchmark's own PostgreSQL: found, started where nobody else meets it, and gone afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import postgres
from bench.postgres import PROGRAMS, Unavailable, command, newest, running

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="measuring is done on Linux")


@pytest.mark.parametrize(
    ("names", "found"),
    [(["9.6", "15", "14"], "15"), (["9.6", "10"], "10"), (["common", "15.old"], None), ([], None)],
)
def test_the_newest_version_is_taken(names: list[str], found: str | None) -> None:
    assert newest(names) == found


def test_it_listens_on_a_socket_of_its_own_alone() -> None:
    words = command(Path("/programs"), Path("/home"))
    assert words[:3] == ["/programs/postgres", "-D", "/home/data"]
    assert "listen_addresses=" in words
    assert "unix_socket_directories=/home" in words


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "PROGRAMS", tmp_path)
    with pytest.raises(Unavailable, match="apt-get install postgresql"), running({0}):
        pass


@pytest.mark.skipif(not PROGRAMS.is_dir(), reason="no PostgreSQL here")
def test_it_answers_and_nothing_of_it_stays() -> None:
    with running(os.sched_getaffinity(0)) as variables:
        home = Path(variables[postgres.VARIABLE])
        query = ["psql", "-h", str(home), "-U", postgres.ROLE, "-Atc", "show max_connections", "postgres"]
        assert subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip() == "500"
        process = int((home / "data" / "postmaster.pid").read_text().split()[0])
    assert not home.exists()
    assert not Path(f"/proc/{process}").exists()
