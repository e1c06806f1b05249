"""What a worker's words mean: one message of its channel, as an event for the fleet; pure.

The worker runs the app, so a message need not be what our own code would say.
"""

from __future__ import annotations

from hostler.arbiter import events as ev
from hostler.logs import facts, printable, printable_lines

__all__ = ["Heard", "event_of", "shown"]

Heard = ev.Ready | ev.Closed | ev.Retire | ev.Renew | ev.BootFailed

# Max characters that are shown: of a word that means nothing, of a reason.
_WORD_SHOWN = 40
_REASON_SHOWN = 500


def event_of(pid: int, word: str, text: str) -> Heard | None:
    """The event that a word, and the text behind it, is; None: it is none."""
    if word == "ready":
        return ev.Ready(pid, text)
    if word == "closed":
        return ev.Closed(pid)
    if word == "retire":
        return ev.Retire(pid, printable(text[:_REASON_SHOWN]))
    if word == "renew":
        return ev.Renew(pid, printable(text[:_REASON_SHOWN]))
    if word in ("failed app", "failed boot"):
        return ev.BootFailed(pid, word == "failed app", printable_lines(text))
    return None


def shown(pid: int, word: str) -> str:
    """A line about a word that no worker would say now."""
    said = facts(pid=pid, said=printable(word[:_WORD_SHOWN]))
    return f"message on hostler's channel ignored; no worker would send it now {said}"
