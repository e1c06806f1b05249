"""FastAPI on Starlette: both kinds of routes, streams, files, uploads, background work, WebSockets."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import BackgroundTasks, FastAPI, Request, UploadFile, WebSocket, WebSocketDisconnect
from fastapi.responses import FileResponse, StreamingResponse
from pydantic import BaseModel

done: list[str] = []


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    yield {"greeting": "hello from the lifespan"}
    print("the lifespan has ended", flush=True)


application = FastAPI(lifespan=lifespan)


class Item(BaseModel):
    name: str
    price: float = 1.5


@application.get("/async/{number}")
async def asynchronous(number: int, q: str = "") -> dict[str, Any]:
    return {"number": number, "q": q, "thread": threading.current_thread().name}


@application.get("/sync")
def synchronous() -> dict[str, Any]:
    return {"thread": threading.current_thread().name}


@application.post("/items")
async def items(item: Item) -> Item:
    return item


@application.post("/upload")
async def upload(file: UploadFile) -> dict[str, Any]:
    content = await file.read()
    return {"name": file.filename, "size": len(content), "digest": hashlib.sha256(content).hexdigest()}


@application.get("/stream")
async def stream() -> StreamingResponse:
    async def parts() -> AsyncIterator[str]:
        for number in range(5):
            yield f"data: {number}\n\n"
            await asyncio.sleep(0.01)

    return StreamingResponse(parts(), media_type="text/event-stream")


@application.get("/endless")
async def endless() -> StreamingResponse:
    async def parts() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 1000
                await asyncio.sleep(0.01)
        finally:
            done.append("endless")

    return StreamingResponse(parts())


@application.get("/file")
async def file() -> FileResponse:
    return FileResponse(__file__)


@application.get("/background/{name}")
async def background(name: str, tasks: BackgroundTasks) -> dict[str, Any]:
    tasks.add_task(done.append, name)
    return {"name": name}


@application.get("/done")
async def what_is_done() -> list[str]:
    return done


@application.get("/state")
async def state(request: Request) -> dict[str, Any]:
    return {"greeting": request.state.greeting, "client": request.client.host if request.client else None}


@application.get("/fails")
async def fails() -> None:
    raise ValueError("a bug of the app")


@application.websocket("/ws/{name}")
async def ws(websocket: WebSocket, name: str, token: Annotated[str, "query"] = "") -> None:
    if token == "wrong":
        await websocket.close(code=1008)
        return
    await websocket.accept(subprotocol=next(iter(websocket.scope["subprotocols"]), None))
    try:
        while True:
            await websocket.send_json({"name": name, "said": await websocket.receive_json()})
    except WebSocketDisconnect as end:
        done.append(f"closed {end.code} {end.reason}")
