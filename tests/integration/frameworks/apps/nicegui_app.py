"""NiceGUI in a FastAPI app, as its documentation has it for servers other than its own."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from nicegui import ui


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    print("the lifespan has ended", flush=True)


application = FastAPI(lifespan=lifespan)


@ui.page("/")  # type: ignore[untyped-decorator]
def page() -> None:
    clicks = 0

    def more() -> None:
        nonlocal clicks
        clicks += 1
        label.set_text(f"clicked {clicks} times at {os.getpid()}")

    label = ui.label(f"clicked 0 times at {os.getpid()}")
    ui.button("more", on_click=more)
    ticks = ui.label("no tick")
    ui.timer(0.1, lambda: ticks.set_text("ticks"))


ui.run_with(application, storage_secret="for a test")
