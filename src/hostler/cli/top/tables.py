"""The two tables: rows that stay where they are while their numbers change."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual.coordinate import Coordinate
from textual.widgets import DataTable

from hostler.cli.top.columns import REQUESTS, WORKERS, Column, RequestColumn
from hostler.cli.top.model import Order, Row, Running

__all__ = ["RequestsTable", "WorkersTable"]

# From this width on there is room for bars.
_WIDE = 130


class _Table(DataTable[Text]):
    """Rows by key; the one under the cursor stays under it."""

    def __init__(self, title: str, id: str) -> None:
        super().__init__(id=id, cursor_type="row", cell_padding=0, cursor_foreground_priority="renderable")
        self.border_title = title
        self._titles: list[Text] = []
        self._keys: list[str] = []
        self._cells: list[list[Text]] = []

    @property
    def gap(self) -> int:
        """Between columns."""
        return 2 if self.app.size.width >= _WIDE else 1

    @property
    def selected(self) -> int | None:
        """Which row the cursor is on."""
        return self.cursor_row if 0 <= self.cursor_row < len(self._keys) else None

    def show(self, titles: list[Text], keys: list[str], cells: list[list[Text]]) -> None:
        """Bring the table to this: cell by cell where the same rows are there as before."""
        at = self.selected
        chosen, scrolled = (at, self._keys[at]) if at is not None else (0, ""), self.scroll_y
        if titles != self._titles:
            self.clear(columns=True)
            for title in titles:
                self.add_column(title, width=title.cell_len)
            self._titles, self._keys = titles, []
        if keys == self._keys:
            self._update(cells)
        else:
            self.clear()
            for key, row in zip(keys, cells, strict=True):
                self.add_row(*row, key=key)
            at = keys.index(chosen[1]) if chosen[1] in keys else max(0, min(chosen[0], len(keys) - 1))
            self.move_cursor(row=at, animate=False, scroll=False)
            self.scroll_to(y=scrolled, animate=False)
        self._keys, self._cells = keys, cells

    def _update(self, cells: list[list[Text]]) -> None:
        for at, (row, before) in enumerate(zip(cells, self._cells, strict=True)):
            for column, (cell, old) in enumerate(zip(row, before, strict=True)):
                if cell != old:  # compares text and colours
                    self.update_cell_at(Coordinate(at, column), cell)


class WorkersTable(_Table):
    """A row for each worker."""

    def __init__(self) -> None:
        super().__init__("workers", "workers")
        self.rows_shown: list[Row] = []

    def fill(self, rows: Sequence[Row], order: Order) -> None:
        """Show these workers in this order."""
        self.rows_shown = order.sort(tuple(rows))
        columns = [column for column in WORKERS if self.gap > 1 or not column.is_extra]
        titles = [
            _fit(Text(column.title, "bold #c9d1d9" if column.order is order else "#768390"), column, self.gap)
            for column in columns
        ]
        cells = [[_fit(column.cell(row), column, self.gap) for column in columns] for row in self.rows_shown]
        self.border_subtitle = f"by {order.value}"
        self.show(titles, [f"{row.worker}/{row.pid}" for row in self.rows_shown], cells)

    @property
    def worker(self) -> Row | None:
        """The one under the cursor."""
        return self.rows_shown[self.selected] if self.selected is not None else None


class RequestsTable(_Table):
    """A row for each request in flight."""

    def __init__(self) -> None:
        super().__init__("requests in flight", "requests")
        self.requests_shown: list[Running] = []

    def fill(self, running: Sequence[Running], in_flight: int) -> None:
        """Show these requests; there may be more of them."""
        self.requests_shown = list(running)
        rest = self.size.width - sum(column.width + self.gap for column in REQUESTS) - 2
        columns = [column if column.width else column._replace(width=max(20, rest)) for column in REQUESTS]
        titles = [_fit(Text(column.title, "#768390"), column, self.gap) for column in columns]
        cells = [[_fit(column.cell(each), column, self.gap) for column in columns] for each in running]
        self.border_subtitle = f"the oldest {len(running)} of {in_flight}" if in_flight > len(running) else ""
        self.show(titles, [each.key for each in running], cells)

    @property
    def request(self) -> Running | None:
        """The one under the cursor."""
        return self.requests_shown[self.selected] if self.selected is not None else None


def _fit(cell: Text, column: Column | RequestColumn, gap: int) -> Text:
    """As wide as its column, numbers to the right, with the gap on the left."""
    cell.truncate(column.width, overflow="ellipsis")
    fill = " " * (column.width - cell.cell_len)
    left, right = (" " * gap, fill) if column.is_left else (" " * gap + fill, "")
    return Text.assemble(left, cell, right)
