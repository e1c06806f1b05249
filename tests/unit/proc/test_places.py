"""Which names root follows, in directories of each kind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hostler.proc.places import FOREIGN, SAFE, SHARED, find
from tests.unit.helpers.places import APP, KINDS, ROOT, WORKERS, directory

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the rule is about root")


@pytest.mark.parametrize("kind", KINDS)
def test_directory_is_known_by_its_owner_and_mode(tmp_path: Path, kind: str) -> None:
    place = directory(tmp_path / "d", kind)
    with find(f"{place}/log", WORKERS) as found:
        assert (found.trust, found.name) == (KINDS[kind][3], "log")
        assert bool(found.changed_by) is (found.trust != SAFE)
        assert os.path.samestat(os.stat(place), os.fstat(found.directory))


def test_what_is_below_a_foreign_directory_is_foreign(tmp_path: Path) -> None:
    directory(tmp_path / "app", "the workers'")
    directory(tmp_path / "app/log", "roots")
    with find(f"{tmp_path}/app/log/error.log") as found:
        assert found.trust == FOREIGN
        assert found.changed_by == f"{tmp_path}/app, which user {APP} can change"


def test_directory_of_root_below_a_shared_one_is_safe(tmp_path: Path) -> None:
    directory(tmp_path / "tmp", "everybody's, sticky")
    directory(tmp_path / "tmp/log", "roots")
    with find(f"{tmp_path}/tmp/log/error.log") as found:
        assert found.trust == SAFE


@pytest.mark.parametrize("where", ["the end", "the middle"])
@pytest.mark.parametrize("owner", [ROOT, APP])
@pytest.mark.parametrize("kind", KINDS)
def test_link_is_followed_only_where_others_cannot_have_made_it(
    tmp_path: Path, kind: str, owner: int, where: str
) -> None:
    target = directory(tmp_path / "target", "roots")
    (target / "error.log").touch()
    place = directory(tmp_path / "d", kind)
    link = place / "link"
    link.symlink_to(target if where == "the middle" else target / "error.log")
    os.lchown(link, owner, owner)
    path = f"{link}/error.log" if where == "the middle" else str(link)
    trust = KINDS[kind][3]
    if trust == SAFE or (trust == SHARED and owner == ROOT):
        with find(path, WORKERS) as found:
            assert os.path.samestat(os.stat(target), os.fstat(found.directory))
            assert (found.name, found.trust, found.is_linked) == ("error.log", SAFE, where == "the end")
    else:
        with pytest.raises(OSError, match=f"root does not follow the link {link}, in {place}, which .* can change"):
            find(path, WORKERS)
    with find(str(link), WORKERS, follow=False) as found:
        assert found.name == "link"


def test_link_of_root_with_a_second_name_is_not_followed_where_others_can_make_names(tmp_path: Path) -> None:
    """Any user may make a hard link to a link of root's, where the kernel's protected_hardlinks is off."""
    place = directory(tmp_path / "tmp", "everybody's, sticky")
    (tmp_path / "link").symlink_to("/etc/passwd")
    os.link(tmp_path / "link", place / "error.log", follow_symlinks=False)
    with pytest.raises(OSError, match="root does not follow the link"):
        find(f"{place}/error.log")


@pytest.mark.parametrize("target", ["/dev/stdout", "/dev/stderr", "/dev/null", "/proc/self/fd/2", "/proc/1/fd/1"])
def test_link_to_a_standard_stream_is_followed_from_anywhere(tmp_path: Path, target: str) -> None:
    place = directory(tmp_path / "d", "the workers'")
    (place / "error.log").symlink_to(target)
    os.lchown(place / "error.log", APP, APP)
    with find(f"{place}/error.log", WORKERS) as found:
        assert (f"/{found.name}", found.trust) == (target, SAFE)


@pytest.mark.parametrize("target", ["/dev/sda", "/dev/fd/7", "/proc/self/fd/7", "/dev/../etc/passwd", "/dev/stdout/.."])
def test_link_to_anything_else_in_dev_or_proc_is_not(tmp_path: Path, target: str) -> None:
    place = directory(tmp_path / "d", "the workers'")
    (place / "error.log").symlink_to(target)
    with pytest.raises(OSError, match="root does not follow the link"):
        find(f"{place}/error.log", WORKERS)


def test_way_up_leads_out_of_the_directory_that_was_entered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory(tmp_path / "a", "roots")
    directory(tmp_path / "a/b", "roots")
    (tmp_path / "link").symlink_to("a/b")
    with find(f"{tmp_path}/link/../x") as found:
        assert os.path.samestat(os.stat(tmp_path / "a"), os.fstat(found.directory))
    monkeypatch.chdir(tmp_path / "a/b")
    with find("../../x") as found:
        assert os.path.samestat(os.stat(tmp_path), os.fstat(found.directory))
    with find("x") as found:
        assert (found.path, found.name) == ("x", "x")


@pytest.mark.parametrize(
    ("path", "error"), [("no/x", FileNotFoundError), ("file/x", NotADirectoryError), ("..", OSError)]
)
def test_way_that_leads_nowhere_is_an_error(tmp_path: Path, path: str, error: type[OSError]) -> None:
    (tmp_path / "file").touch()
    before = os.listdir("/proc/self/fd")
    with pytest.raises(error):
        find(f"{tmp_path}/{path}" if path != ".." else "/..")
    assert os.listdir("/proc/self/fd") == before


def test_links_in_a_circle_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        find(f"{tmp_path}/a")


def test_other_users_leave_it_to_the_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = directory(tmp_path / "d", "the workers'")
    (place / "link").symlink_to(tmp_path / "target")
    monkeypatch.setattr(os, "geteuid", lambda: APP)
    with find(f"{place}/link") as found:
        assert (found.trust, found.address) == (SAFE, f"{place}/link")
        os.close(found.open(os.O_WRONLY | os.O_CREAT))
    assert (tmp_path / "target").exists()
