"""FastAPI's hello: one route, a small dict."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

app = FastAPI()


@app.get("/")
async def hello() -> dict[str, Any]:
    return {"message": "Hello, World!", "id": 7, "tags": ["a", "b"]}
