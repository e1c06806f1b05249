"""What of a path another user can change."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hostler.proc.exposure import changeable
from tests.unit.helpers.places import APP, KINDS, OTHER, WORKERS, directory

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of others")


@pytest.fixture
def top(tmp_path: Path) -> Path:
    return directory(tmp_path / "top", "roots")


@pytest.mark.parametrize("kind", KINDS)
def test_directory_that_the_user_can_write_is_found(top: Path, kind: str) -> None:
    place = directory(top / "d", kind)
    directory(place / "log", "roots")
    if kind == "everybody's, sticky":  # what is root's stays there
        expected = None
    else:
        expected = None if kind in ("roots", "roots, of another group", "another user's") else str(place)
    if kind == "another user's, sticky":
        expected = None
    assert changeable(f"{place}/log/error.log", WORKERS) == expected


def test_file_in_a_sticky_directory_counts_when_it_is_not_there_or_the_users(top: Path) -> None:
    place = directory(top / "tmp", "everybody's, sticky")
    path = place / "x"
    assert changeable(str(path), WORKERS) == str(place)
    path.touch()
    assert changeable(str(path), WORKERS) is None
    os.chown(path, APP, APP)
    assert changeable(str(path), WORKERS) == str(place)
    os.chown(path, OTHER, OTHER)
    assert changeable(str(path), WORKERS) is None


def test_file_itself_counts_when_root_reads_it(top: Path) -> None:
    (top / "hooks.py").touch()
    os.chown(top / "hooks.py", APP, APP)
    assert changeable(str(top / "hooks.py"), WORKERS) is None
    assert changeable(str(top / "hooks.py"), WORKERS, is_read=True) == str(top / "hooks.py")


def test_file_system_that_is_mounted_read_only_can_be_changed_by_none(
    top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = directory(top / "config", "everybody's")
    assert changeable(f"{place}/x", WORKERS) == str(place)
    flags = list(os.statvfs(place))
    flags[8] |= os.ST_RDONLY
    monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result(flags))
    assert changeable(f"{place}/x", WORKERS) is None


def test_both_ends_of_a_link_count(top: Path) -> None:
    directory(top / "app", "the workers'")
    directory(top / "opt", "roots")
    (top / "app/current").symlink_to(top / "opt")
    assert changeable(f"{top}/app/current/x", WORKERS) == f"{top}/app"
    (top / "link").symlink_to("app")
    assert changeable(f"{top}/link/x", WORKERS) == f"{top}/link"


def test_path_whose_links_are_exchanged_meanwhile_counts_as_it_is_named(
    top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exchanged(path: str) -> str:
        raise OSError(22, "Invalid argument", path)  # what os.path.realpath raises when a link has become a file

    monkeypatch.setattr(os.path, "realpath", exchanged)
    place = directory(top / "open", "the workers'")
    assert changeable(f"{place}/log", WORKERS) == str(place)
    assert changeable(f"{top}/log", WORKERS) is None
