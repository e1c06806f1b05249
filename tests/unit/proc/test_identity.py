"""Users and groups by name and number."""

from __future__ import annotations

import grp
import os
import pwd

import pytest

from hostler.proc import identity


def test_nothing_is_ourselves() -> None:
    found = identity.find(None, None)
    assert (found.uid, found.gid, found.is_ours) == (os.geteuid(), os.getegid(), True)
    found.assume()


def test_our_own_name_needs_no_rights() -> None:
    ours = pwd.getpwuid(os.geteuid())
    assert identity.find(ours.pw_name, str(os.getegid())).is_ours


def test_others_need_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ValueError, match="only root"):
        identity.find("root", None)


@pytest.mark.skipif(os.geteuid() != 0, reason="others can only name themselves")
def test_numbers_need_no_entry() -> None:
    assert identity.find("54321", "54322")[:2] == (54321, 54322)
    assert identity.find("54321", "54322").groups == {54322}
    assert identity.find(None, "daemon").gid == grp.getgrnam("daemon").gr_gid
    nobody = pwd.getpwnam("nobody")
    assert identity.find("nobody", None) == (nobody.pw_uid, nobody.pw_gid, "nobody")
    assert identity.find(str(nobody.pw_uid), None) == (nobody.pw_uid, nobody.pw_gid, "nobody")


@pytest.mark.skipif(os.geteuid() != 0, reason="others can only name themselves")
def test_number_that_no_entry_gives_a_group_needs_one() -> None:
    with pytest.raises(ValueError, match="no entry for user 54321, so its group is not known: set group too"):
        identity.find("54321", None)
    assert identity.find("0", None).is_ours


@pytest.mark.parametrize("number", ["4294967295", "99999999999999999999"])
def test_number_that_would_leave_root_what_it_is_is_refused(number: str) -> None:
    """setresuid(2) takes the first for "do not change it"."""
    with pytest.raises(ValueError, match="is no number of a user or group"):
        identity.find(number, "1")
    with pytest.raises(ValueError, match="is no number of a user or group"):
        identity.find(None, number)


def test_identity_reads_as_names_and_numbers() -> None:
    nobody = pwd.getpwnam("nobody")
    group = grp.getgrgid(nobody.pw_gid).gr_name
    shown = str(identity.Identity(nobody.pw_uid, nobody.pw_gid, "nobody"))
    assert shown == f"user=nobody({nobody.pw_uid}) group={group}({nobody.pw_gid})"
    assert str(identity.Identity(54321, 54322, "")) == "user=54321 group=54322"


@pytest.mark.parametrize(("user", "group"), [("nosuch", None), (None, "nosuch")])
def test_unknown_names(user: str | None, group: str | None) -> None:
    with pytest.raises(ValueError, match=r'there is no (user|group) "nosuch" on this system'):
        identity.find(user, group)
