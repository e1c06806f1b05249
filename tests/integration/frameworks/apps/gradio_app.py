"""Gradio in a FastAPI app: a call, one that answers bit by bit, a file, and a page with all of it."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import gradio as gr
from fastapi import FastAPI

HOLD = Path(os.environ.get("HOLD", "held"))


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    print("the lifespan has ended", flush=True)


def greet(name: str) -> str:
    return f"hello {name} from {os.getpid()}"


def count(to: float) -> Iterator[str]:
    for number in range(int(to)):
        time.sleep(0.02)
        yield str(number)
    while HOLD.exists():
        time.sleep(0.01)
    yield "done"


def size(path: str) -> int:
    return Path(path).stat().st_size


with gr.Blocks() as demo:
    name = gr.Textbox(label="name", elem_id="name")
    greeting = gr.Textbox(label="greeting", elem_id="greeting")
    gr.Button("greet", elem_id="greet").click(greet, name, greeting, api_name="greet")
    to, shown = gr.Number(label="to"), gr.Textbox(label="shown")
    gr.Button("count").click(count, to, shown, api_name="count")
    file, length = gr.File(label="file"), gr.Number(label="size")
    gr.Button("size").click(size, file, length, api_name="size")

application = gr.mount_gradio_app(FastAPI(lifespan=lifespan), demo, path="/")
