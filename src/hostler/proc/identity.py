"""Whom the workers run as, once the arbiter has opened what needs more rights."""

from __future__ import annotations

import os
from typing import NamedTuple

__all__ = ["Identity", "find"]


class Identity(NamedTuple):
    """A user and a group of this system; either may be what we are already."""

    uid: int
    gid: int
    name: str  # of the user, for its supplementary groups; empty: they stay as they are

    @property
    def is_ours(self) -> bool:
        """Whether nothing has to change."""
        return (self.uid, self.gid) == (os.geteuid(), os.getegid())

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

    Without a group it is the user's own, without a user only the group changes.
    """
    import grp
    import pwd

    uid, gid, name = os.geteuid(), os.getegid(), ""
    if user is not None:
        try:
            entry = pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)
            uid, gid, name = entry.pw_uid, entry.pw_gid, entry.pw_name
        except KeyError:
            if not user.isdecimal():
                raise ValueError(f'there is no user "{user}" on this system') from None
            uid = int(user)  # containers run as numbers that nobody has named
    if group is not None:
        try:
            gid = int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
        except KeyError:
            raise ValueError(f'there is no group "{group}" on this system') from None
    found = Identity(uid, gid, name)
    if os.geteuid() != 0 and not found.is_ours:
        raise ValueError("only root can run workers as somebody else: leave it out, or start the server as root")
    return found
