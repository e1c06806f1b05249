"""Why a worker runs no Python any more, in words for the operator. Made from what others have read: pure."""

from __future__ import annotations

from collections.abc import Sequence

from hostler.logs import facts, printable
from hostler.proc.threads import Thread
from hostler.stats.scoreboard import Request

__all__ = ["can_answer", "explain"]

# Threads of the native core, which never hold the GIL.
_NATIVE = ("hostler-monitor", "hostler-log")
# The thread that supervises, where the main thread runs the app.
_SUPERVISOR = "hostler-watch"
# Where a thread sleeps that has nothing to do.
_AT_REST = ("poll", "ppoll", "select", "pselect6", "epoll_wait", "epoll_pwait", "accept", "accept4", "pause")
# The top of the stack of an app thread that runs no request.
_IDLE = " in _run_thread"
# The interpreter names a thread by the address of its control block, which lies on top of its stack. Nobody else's
# lies as near: a stack has 8 MB.
_NEAR = 4 << 20


def can_answer(threads: Sequence[Thread]) -> bool:
    """Whether the process can handle a signal, such as the one that asks for its stacks."""
    return not threads or threads[0].state not in ("T", "t", "D", "Z")


def explain(
    worker: str, silence: float, threads: Sequence[Thread], requests: Sequence[Request], stacks: str, now_ns: int
) -> str:
    """The log entry. `worker`: its facts; `threads` has the main thread first, `requests` are those in flight."""
    said = f"{worker} {facts(silent_for=f'{silence:g}s', option='worker_timeout')}"
    if not threads:
        return "\n".join([f"worker unresponsive; a new one starts {said}", *_stacks(stacks, [], [])])
    if threads[0].state in ("T", "t"):
        return f"worker stopped (SIGSTOP, or a debugger); a new one starts {said}"
    main = next((thread for thread in threads if thread.name == _SUPERVISOR), threads[0])
    if main.state == "D":
        return f"worker {main.doing}; a new one starts {said}"
    if not main.waits_for_lock and (main.state == "R" or main.call or main.place):
        text = f"worker unresponsive, its {_role(main, threads)} {main.doing}; a new one starts {said}"
        return "\n".join([text, *_stacks(stacks, threads, [main])])
    text = f"worker unresponsive, native code keeps the GIL; a new one starts {said}"
    others = [thread for thread in threads if thread is not main]
    suspects = _suspects(others, {request.tid for request in requests})
    return "\n".join([text, *_accuse(suspects, requests, now_ns), *_stacks(stacks, threads, suspects)])


def _role(thread: Thread, threads: Sequence[Thread]) -> str:
    return "main thread" if thread is threads[0] else "supervising thread"


def _suspects(threads: Sequence[Thread], busy: set[int]) -> list[Thread]:
    """Who may have the lock, the likeliest first: who waits for none, and has a request rather than none."""
    awake = [thread for thread in threads if not thread.waits_for_lock and thread.name not in _NATIVE]
    found = [thread for thread in awake if thread.tid in busy]
    found = found or [thread for thread in awake if thread.call not in _AT_REST]
    return sorted(found, key=lambda thread: thread.state != "R")


def _accuse(suspects: Sequence[Thread], requests: Sequence[Request], now_ns: int) -> list[str]:
    running = {request.tid: request for request in requests}
    said = [_describe(thread, running.get(thread.tid), now_ns) for thread in suspects]
    if not said:
        return ["no thread is seen that could hold it: all wait for locks"]
    if len(said) == 1:
        return [f"it is held by {said[0]}"]
    return ["it is held by one of these, the likeliest first:", *(f"  {line}" for line in said)]


def _describe(thread: Thread, request: Request | None, now_ns: int) -> str:
    text = f"{_name(thread)}, which {thread.doing}"
    if request is None:
        return f"{text}, without a request"
    age = max(0.0, (now_ns - request.start_ns) / 1e9)
    return f"{text}, in {printable(request.method)} {printable(request.path)} since {age:.1f}s"


def _stacks(dump: str, threads: Sequence[Thread], first: Sequence[Thread]) -> list[str]:
    """The Python stacks, with the threads' names where they can be told, without those that wait for a request."""
    blocks = [block.strip("\n") for block in dump.split("\n\n") if block.strip()]
    busy = [block for block in blocks if not _is_idle(block)]
    owners = [_owner(block, threads) for block in busy]
    named = [f"{_name(owner)}: {block}" if owner else block for block, owner in zip(busy, owners, strict=True)]
    ranks = [first.index(owner) if owner in first else len(first) for owner in owners]
    lines = [block for _, block in sorted(zip(ranks, named, strict=True), key=lambda pair: pair[0])]
    if len(busy) < len(blocks):
        lines.append(f"({len(blocks) - len(busy)} more wait for requests)")
    return ["Python stacks:", *lines] if lines else []


def _owner(block: str, threads: Sequence[Thread]) -> Thread | None:
    """Whose stack this is: the thread's whose native stack ends right below the address in its first line."""
    words = block.partition("\n")[0].split()
    address = next((int(word, 16) for word in words if word.startswith("0x")), 0)
    below = [thread for thread in threads if 0 < thread.stack < address < thread.stack + _NEAR]
    return max(below, key=lambda thread: thread.stack, default=None)


def _is_idle(block: str) -> bool:
    lines = block.split("\n")
    return len(lines) > 1 and lines[1].endswith(_IDLE)


def _name(thread: Thread) -> str:
    return f"thread {thread.tid} ({printable(thread.name)})"
