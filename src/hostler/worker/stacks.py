"""The Python stacks of a worker's threads and greenlets, with the requests beside them."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Sequence
from types import FrameType

from hostler.logs import counted, printable

__all__ = ["render", "stack_of_thread", "text_of", "text_of_frames"]

_Running = tuple[str, str, str, float, int]  # as Core.in_flight has them

_HERE = os.path.dirname(__file__)
# What stands at the start of each app thread's stack and tells nothing. In the main thread all that started the process
# stands before it.
_RUNNERS = tuple(os.path.join(_HERE, name) for name in ("worker.py", "app_threads.py", "greenlets.py", "event_loop.py"))


def render(
    requests: Sequence[_Running],
    greenlets: dict[int, FrameType | None] | None = None,
    task_stack: Callable[[int], str] | None = None,
) -> str:
    """All stacks, the oldest request's first; idle app threads are only counted.

    `greenlets`: the frames of the greenlets that run requests, by place; None with the threads driver.
    `task_stack`: where the task of a request on the event loop is.
    """
    frames = sys._current_frames()
    blocks, told = [], set()
    for request in sorted(requests, key=lambda request: -request[3]):
        if greenlets is not None:
            told.add(request[4])
            frame = greenlets.get(request[4])
            blocks.append(_block(f"greenlet {request[4]}, {_words(request)}", frame))
            continue
        if request[4] < 0 and task_stack is not None:
            blocks.append(f"task, {_words(request)}\n{task_stack(request[4])}")
            continue
        thread = _thread(request[4])
        if thread is not None and thread.ident is not None:
            told.add(thread.ident)
            blocks.append(_block(f"{_name(thread)}, {_words(request)}", frames.get(thread.ident)))
    idle = 0
    for thread in sorted(threading.enumerate(), key=lambda thread: thread.native_id or 0):
        if thread.ident in told or thread is threading.current_thread() or thread.ident is None:
            continue
        text = text_of(frames.get(thread.ident))
        if (thread.name.startswith("hostler-app-") or thread is threading.main_thread()) and not text:
            idle += 1
        else:
            blocks.append(_block(_name(thread), frames.get(thread.ident)))
    if idle:
        blocks.append(f"{counted(idle, 'idle app thread')}")
    return "\n\n".join(blocks) or "no request runs"


def stack_of_thread(native_id: int) -> str:
    """The Python stack of a thread, innermost call last; a line that says so when it has ended."""
    thread = _thread(native_id)
    frame = sys._current_frames().get(thread.ident) if thread is not None and thread.ident is not None else None
    if frame is None:
        return "  (the request has ended meanwhile)"
    return text_of(frame) or "  (no Python code of the app runs)"


def text_of(frame: FrameType | None) -> str:
    """The stack that ends in `frame`, innermost call last, without what stands at the start of each one."""
    if frame is None:
        return ""
    import traceback  # not at the top: a quarter of a megabyte in each worker

    stack = traceback.extract_stack(frame)
    ours = max((index for index, each in enumerate(stack) if each.filename in _RUNNERS), default=-1)
    del stack[: ours + 1]
    while stack and (stack[0].filename == threading.__file__ or f"{os.sep}gevent{os.sep}" in stack[0].filename):
        del stack[0]
    return "".join(stack.format()).rstrip("\n")


def text_of_frames(frames: Sequence[FrameType]) -> str:
    """The same for frames that do not stand on each other: what a coroutine awaits."""
    import traceback

    summary = traceback.StackSummary.extract((frame, frame.f_lineno) for frame in frames)
    return "".join(summary.format()).rstrip("\n")


def _block(title: str, frame: FrameType | None) -> str:
    return f"{title}\n{text_of(frame) or '  (no Python code of the app runs)'}"


def _name(thread: threading.Thread) -> str:
    return f"thread {printable(thread.name)} ({thread.native_id})"


def _words(request: _Running) -> str:
    method, path, client, age, _ = request
    return f"{printable(method)} {printable(path)} from {printable(client)} for {age:.1f}s"


def _thread(native_id: int) -> threading.Thread | None:
    return next((thread for thread in threading.enumerate() if thread.native_id == native_id), None)
