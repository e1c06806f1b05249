"""The view: asks the server in threads, shows what it says, and passes keys on to it.

A question may take long (a reload), or for ever (an arbiter that is stopped). Each has a daemon thread of its own, so
that the view neither freezes nor waits for it when it ends; what comes of it is a message to the view.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from threading import Thread
from typing import Any, ClassVar

from rich.markup import escape
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.events import Resize
from textual.message import Message
from textual.widgets import DataTable, Footer, Static

from hostler.cli.top.head import head
from hostler.cli.top.model import Order, View, view
from hostler.cli.top.readings import Reading, Readings
from hostler.cli.top.screens import Page, Question
from hostler.cli.top.server import Server
from hostler.cli.top.tables import RequestsTable, WorkersTable
from hostler.errors import HostlerError
from hostler.proc.printable import printable_lines

__all__ = ["Top"]

# After so many seconds without an answer the server is said to be silent.
_PATIENCE = 3.0
_HISTORY = 120

HELP = """\
r        reload: new code and configuration, worker by worker
+  -     one worker more, one fewer
x        replace the selected worker, the replacement first
s Enter  Python stacks of the selected worker, or of the selected request's worker
o        sort the workers by something else
Tab      to the other table; arrows, Page Up and Page Down move in it
q        quit; the server goes on

run      requests that run
wait     requests that wait for a thread
threads  busy ones / all of them
p50 …    durations of the requests that have ended since the last look
CPU      100% is one processor
memory   PSS: what processes share counts in part
"""


class Seen(Message):
    """The server has answered."""

    def __init__(self, answer: Mapping[str, Any], readings: Mapping[int, Reading]) -> None:
        super().__init__()
        self.answer = answer
        self.readings = readings


class Lost(Message):
    """It has not."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason


class Told(Message):
    """What came of a key."""

    def __init__(self, text: str, is_error: bool, page: Page | None = None) -> None:
        super().__init__()
        self.text = text
        self.is_error = is_error
        self.page = page  # where to show it; None: in a corner, for a moment


class Top(App[None]):
    """One server, until the user quits."""

    TITLE = "hostler top"
    ENABLE_COMMAND_PALETTE = False
    CSS_PATH = "top.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "reload", "Reload"),
        Binding("plus", "scale(1)", "More", key_display="+"),
        Binding("minus", "scale(-1)", "Fewer", key_display="-"),
        Binding("x", "recycle", "Replace"),
        Binding("s", "stacks", "Stacks"),
        Binding("o", "order", "Order"),
        Binding("question_mark", "keys", "Help", key_display="?"),
        Binding("q", "quit", "Quit"),
    ]

    def __init__(self, server: Server, interval: float, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self.order = Order.NUMBER
        self.shown: View | None = None
        self._server = server
        self._interval = interval
        self._clock = clock
        self._readings = Readings()
        self._answer: Mapping[str, Any] | None = None
        self._asked_at: float | None = None  # when the question was asked that is not answered yet
        self._wanted = 0  # how many workers: the server's number, or the one that a key has just asked for
        self._history: deque[float] = deque(maxlen=_HISTORY)  # requests per second

    # --- What is where ---

    def compose(self) -> ComposeResult:
        """Sums, workers, requests, keys."""
        yield Static(id="head")
        yield Static(id="notice")
        yield WorkersTable()
        yield RequestsTable()
        yield Footer()

    def on_mount(self) -> None:
        """Begin to look."""
        self._head, self._notice = self.query_one("#head", Static), self.query_one("#notice", Static)
        self._table, self._requests = self.query_one(WorkersTable), self.query_one(RequestsTable)
        self._table.focus()
        self.set_interval(self._interval, self._look)
        self._look()

    def on_resize(self, event: Resize) -> None:
        """Other columns may fit."""
        self.call_after_refresh(self._show)

    # --- Looking ---

    def _look(self) -> None:
        """Ask, unless an answer is awaited still."""
        now = self._clock()
        if self._asked_at is not None:
            if now - self._asked_at > _PATIENCE:
                self._complain(f"the server has not answered for {now - self._asked_at:.0f}s")
            return
        self._asked_at = now

        def ask() -> None:
            try:
                answer = self._server.look()
            except HostlerError as error:
                self.post_message(Lost(error.message))
                return
            except Exception as error:  # or nobody would ask again
                self.post_message(Lost(repr(error)))
                return
            pids = [answer["pid"], *(worker["pid"] for worker in answer["workers"] if worker["pid"])]
            self.post_message(Seen(answer, self._readings.look(pids, self._clock())))

        Thread(target=ask, daemon=True).start()

    def on_seen(self, message: Seen) -> None:
        """Show it."""
        self._asked_at = None
        self.shown = view(message.answer, self._answer, message.readings)
        self._answer = message.answer
        self._wanted = self.shown.server.wanted
        if self.shown.server.rates.requests is not None:
            self._history.append(self.shown.server.rates.requests)
        self._complain("")
        self._show()

    def on_lost(self, message: Lost) -> None:
        """Say so, and try again: it may be back."""
        self._asked_at = None
        self._answer = None
        self._history.clear()
        self._complain(message.reason)

    def _complain(self, reason: str) -> None:
        """One line while the server does not answer; "": it does."""
        self.set_class(bool(reason), "lost")
        self._notice.update(escape(f"{reason}; trying again"))

    def _show(self) -> None:
        if self.shown is None:
            return
        server, rows, running = self.shown
        self._head.update(head(server, list(self._history), self.size.width))
        self._table.fill(rows, self.order)
        self._requests.fill(running, server.in_flight)

    # --- Keys ---

    def action_reload(self) -> None:
        """Ask whether it is meant, and tell how it went."""

        def go(is_yes: bool | None) -> None:
            if is_yes:
                self.notify("reloading: this may take a while", title="reload")
                self._tell(self._server.reload)

        self.push_screen(Question("Reload the server? Each worker is replaced when its replacement is ready."), go)

    def action_scale(self, by: int) -> None:
        """One worker more or fewer."""
        if self.shown is not None:
            size = max(1, self._wanted + by)
            self._wanted = min(size, self.shown.server.most)
            self._tell(lambda: self._server.scale(size))

    def action_recycle(self) -> None:
        """Replace the selected worker, if it is still the same one when that was confirmed."""
        chosen = self._chosen()
        if chosen is None:
            return

        def go(is_yes: bool | None) -> None:
            rows = self.shown.rows if self.shown is not None else ()
            if not is_yes:
                return
            if any((row.worker, row.pid) == chosen for row in rows):
                self._tell(lambda: self._server.recycle(chosen[0]))
            else:
                self.notify(f"worker {chosen[0]} is another one by now", severity="warning")

        self.push_screen(Question(f"Replace worker {chosen[0]} (pid {chosen[1]})? Another one starts first."), go)

    def action_stacks(self) -> None:
        """Where the threads of the selected worker are."""
        chosen = self._chosen()
        if chosen is not None:
            page = Page(f"worker {chosen[0]}", "asking its threads where they are …")
            self.push_screen(page)
            self._tell(lambda: self._server.stacks(chosen[0]), page)

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Enter, or a click on the row with the cursor."""
        self.action_stacks()

    def action_order(self) -> None:
        """Sort by the next thing."""
        self.order = self.order.next
        self._show()

    def action_keys(self) -> None:
        """Show what keys and columns mean."""
        self.push_screen(Page("keys and columns", HELP))

    def _chosen(self) -> tuple[int, int] | None:
        """Number and pid of the worker under the cursor, or of the worker of the request under the cursor."""
        if self.focused is self._requests:
            request = self._requests.request
            rows = self.shown.rows if self.shown is not None and request is not None else ()
            found = [row for row in rows if request is not None and row.worker == request.worker]
        else:
            found = [row] if (row := self._table.worker) is not None else []
        return (found[0].worker, found[0].pid) if found else None

    def _tell(self, question: Callable[[], str], page: Page | None = None) -> None:
        """Ask something of the server, and show what it says."""

        def ask() -> None:
            try:
                self.post_message(Told(question(), False, page))
            except HostlerError as error:
                self.post_message(Told(error.message, True, page))

        Thread(target=ask, daemon=True).start()

    def on_told(self, message: Told) -> None:
        """On its page, or in a corner."""
        text = printable_lines(message.text.rstrip("\n"))
        if message.page is not None:
            message.page.show(text)
        else:
            self.notify(escape(text), severity="error" if message.is_error else "information")
