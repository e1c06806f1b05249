"""What lies above the tables for a while: a question, a page to read."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

__all__ = ["Page", "Question"]


class Question(ModalScreen[bool]):
    """Yes or no."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y,enter", "answer(True)"),
        Binding("n,escape,q", "answer(False)"),
    ]

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        """The text, and what to press."""
        with Vertical(id="question"):
            yield Static(Text(self._text))
            yield Static(Text.assemble(("y", "bold"), " yes   ", ("n", "bold"), " no"), classes="keys")

    def action_answer(self, is_yes: bool) -> None:
        """Go, and tell who asked."""
        self.dismiss(is_yes)


class Page(ModalScreen[None]):
    """Text to read, as long as it is."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,s,question_mark", "close")]

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self._title = title
        self._text = text

    def compose(self) -> ComposeResult:
        """The text in a frame that scrolls."""
        with VerticalScroll(id="page") as frame:
            frame.border_title = Text(self._title).markup
            frame.border_subtitle = "Esc closes"
            yield Static(Text(self._text), id="text")

    def on_mount(self) -> None:
        """Arrow keys scroll."""
        self.query_one("#page").focus()

    @property
    def text(self) -> str:
        """What it says."""
        return self._text

    def show(self, text: str) -> None:
        """Say something else."""
        self._text = text
        self.query_one("#text", Static).update(Text(text))

    def action_close(self) -> None:
        """Back to the tables."""
        self.dismiss()
