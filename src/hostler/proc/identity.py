"""The user and group that the workers run as, once the arbiter has opened what needs more rights."""

from __future__ import annotations

import os
from typing import NamedTuple

__all__ = ["Identity", "find"]

# What the kernel's calls take for "leave it as it is": a worker would stay root (setresuid(2)).
_NONE = 2**32 - 1


class Identity(NamedTuple):
    """A user and a group of this system; either may be what we are already."""

    uid: int
    gid: int
    name: str  # of the user, for its supplementary groups; empty: it has none

    @property
    def is_ours(self) -> bool:
        """Whether nothing has to change."""
        return (self.uid, self.gid) == (os.geteuid(), os.getegid())

    @property
    def groups(self) -> frozenset[int]:
        """The group and all supplementary groups of a process that has assumed it."""
        if self.is_ours:
            return frozenset((self.gid, *os.getgroups()))
        return frozenset(os.getgrouplist(self.name, self.gid)) if self.name else frozenset((self.gid,))

    def __str__(self) -> str:
        return f"user={_name(self.name, self.uid)} group={_name(_group(self.gid), self.gid)}"

    def assume(self) -> None:
        """Become it, for good: groups first, since only root may change them. Raises OSError without the right."""
        if self.is_ours:
            return
        if self.name:
            os.initgroups(self.name, self.gid)
        elif os.geteuid() == 0:
            os.setgroups([self.gid])
        os.setresgid(self.gid, self.gid, self.gid)
        os.setresuid(self.uid, self.uid, self.uid)


def find(user: str | None, group: str | None) -> Identity:
    """What the options `user` and `group` name, by name or number; ValueError with one line for people.

    Without a group it is the user's own, without a user only the group changes. A number that this system does not
    know as a user has no group of its own: then `group` must say it, or the workers would keep root's.
    """
    import pwd

    uid, gid, name = os.geteuid(), os.getegid(), ""
    is_unknown = False
    if user is not None:
        try:
            entry = pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)
            uid, gid, name = entry.pw_uid, entry.pw_gid, entry.pw_name
        except (KeyError, OverflowError):
            if not user.isdecimal():
                raise ValueError(f'there is no user "{user}" on this system') from None
            uid, is_unknown = _number(user), int(user) != uid
    if group is not None:
        gid = _find_group(group)
    found = Identity(uid, gid, name)
    if os.geteuid() != 0 and not found.is_ours:
        raise ValueError("only root can run workers as another user: leave it out, or start the server as root")
    if is_unknown and group is None:
        raise ValueError(f"this system has no entry for user {user}, so its group is not known: set group too")
    return found


def _find_group(group: str) -> int:
    import grp

    try:
        return _number(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
    except KeyError:
        raise ValueError(f'there is no group "{group}" on this system') from None


def _number(text: str) -> int:
    number = int(text)
    if number >= _NONE:
        raise ValueError(f"{text} is no number of a user or group: the largest is {_NONE - 1}")
    return number


def _group(gid: int) -> str:
    import grp

    try:
        return grp.getgrgid(gid).gr_name
    except (KeyError, OverflowError):
        return ""


def _name(name: str, number: int) -> str:
    return f"{name}({number})" if name else str(number)
