"""An MCP server by streamable HTTP: tools, one of which takes its time and tells how far it is, and a resource."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError

HOLD = Path(os.environ.get("HOLD", "held"))


@asynccontextmanager
async def lifespan(server: MCPServer[str]) -> AsyncIterator[str]:
    yield "from the lifespan"
    print("the lifespan has ended", flush=True)


server = MCPServer("shop", lifespan=lifespan)


@server.tool()
def add(a: int, b: int) -> int:
    """Add two numbers, in a thread."""
    return a + b


@server.tool()
async def pid() -> int:
    """The worker."""
    return os.getpid()


@server.tool()
async def state(ctx: Context[str]) -> str:
    """What the lifespan has made."""
    return ctx.request_context.lifespan_context


@server.tool()
async def export(ctx: Context[str]) -> str:
    """Take as long as the file HOLD is there."""
    await ctx.report_progress(1, 2, "begun")
    while HOLD.exists():
        await asyncio.sleep(0.01)
    return "exported"


@server.tool()
def buy() -> str:
    """Refuse."""
    raise ToolError("not for sale")


@server.resource("stock://{item}")
def stock(item: str) -> str:
    """How many there are."""
    return f"7 {item}"


application = server.streamable_http_app(stateless_http=bool(os.environ.get("STATELESS")))
