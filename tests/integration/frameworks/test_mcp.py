"""An MCP server by streamable HTTP, asked by mcp's own client: sessions, streams, a reload in the middle of a call."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp.types import CallToolResult, ReadResourceResult, TextContent, TextResourceContents

from tests.integration.frameworks.conftest import APPS, stop_in_order
from tests.integration.helpers import Serve, Server

# The protocol with sessions and a stream that the server keeps open for news, and that without.
MODES = pytest.mark.parametrize("mode", ["legacy", "auto"])


def talk(server: Server, mode: str, what: Callable[[Client], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        async with Client(server.url("/mcp"), mode=mode) as client:
            await what(client)

    asyncio.run(run())


def text_of(result: CallToolResult | ReadResourceResult) -> str:
    parts = result.content if isinstance(result, CallToolResult) else result.contents
    assert isinstance(parts[0], TextContent | TextResourceContents)
    return parts[0].text


def stop(server: Server, mode: str) -> None:
    # A client with a session leaves its stream for news, and mcp logs what send() raises then.
    stop_in_order(server, app_may_complain=mode == "legacy")


async def said(client: Client, tool: str, **arguments: Any) -> str:
    result = await client.call_tool(tool, arguments)
    return text_of(result)


@MODES
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_mcp_client_lists_calls_and_reads(serve: Serve, mode: str, loop: str) -> None:
    server = serve("mcp_app:application", "--loop", loop, cwd=APPS)

    async def ask(client: Client) -> None:
        assert {tool.name for tool in (await client.list_tools()).tools} >= {"add", "export"}
        assert await said(client, "add", a=2, b=3) == "5"
        assert await said(client, "state") == "from the lifespan"
        assert text_of(await client.read_resource("stock://apples")) == "7 apples"
        failed = await client.call_tool("buy", {})
        assert (failed.is_error, "not for sale" in text_of(failed)) == (True, True)
        assert await asyncio.gather(*(said(client, "add", a=n, b=n) for n in range(20))) == [
            str(2 * n) for n in range(20)
        ]

    talk(server, mode, ask)
    stop(server, mode)
    assert server.log.count("the lifespan has ended") == 1


@MODES
def test_call_of_a_tool_ends_on_the_old_worker_of_a_reload(serve: Serve, tmp_path: Path, mode: str) -> None:
    hold = tmp_path / "hold"
    hold.touch()
    server = serve("mcp_app:application", "--stream-drain", "20s", cwd=APPS, env={"HOLD": str(hold)})

    async def ask(client: Client) -> None:
        begun = asyncio.Event()
        await client.list_tools()  # by which it will check the result

        async def on_progress(progress: float, total: float | None, message: str | None) -> None:
            begun.set()

        call = asyncio.create_task(client.call_tool("export", {}, progress_callback=on_progress))
        await asyncio.wait_for(begun.wait(), 10)
        server.kill(signal.SIGHUP)
        await asyncio.to_thread(server.wait_log, "reloaded workers=")
        hold.unlink()
        assert text_of(await call) == "exported"

    talk(server, mode, ask)
    server.wait_log("the lifespan has ended")
    stop(server, mode)


def test_client_without_session_goes_on_through_a_reload(serve: Serve) -> None:
    mode = "auto"
    server = serve("mcp_app:application", cwd=APPS)

    async def ask(client: Client) -> None:
        before = await said(client, "pid")
        server.kill(signal.SIGHUP)
        while await said(client, "pid") == before:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(server.wait_log, "the lifespan has ended")
        assert await said(client, "add", a=1, b=1) == "2"

    talk(server, mode, ask)
    stop(server, mode)


def test_session_that_a_reload_has_ended_is_refused_and_a_new_one_works(serve: Serve) -> None:
    mode = "legacy"
    server = serve("mcp_app:application", "--stream-drain", "100ms", cwd=APPS)

    async def ask(client: Client) -> None:
        assert await said(client, "add", a=1, b=1) == "2"
        server.kill(signal.SIGHUP)
        await asyncio.to_thread(server.wait_log, "the lifespan has ended")
        with pytest.raises(MCPError, match=r"[Ss]ession"):
            await asyncio.wait_for(said(client, "add", a=1, b=1), 10)

    talk(server, mode, ask)

    async def again(client: Client) -> None:
        assert await said(client, "add", a=2, b=2) == "4"

    talk(server, mode, again)
    stop(server, mode)


@MODES
def test_stop_ends_open_sessions_in_order(serve: Serve, mode: str) -> None:
    server = serve("mcp_app:application", cwd=APPS)

    async def ask(client: Client) -> None:
        assert await said(client, "add", a=1, b=1) == "2"
        await asyncio.to_thread(stop, server, mode)

    try:
        talk(server, mode, ask)
    except (MCPError, OSError):
        pass  # the client says good-bye to a server that is gone
    assert server.log.count("the lifespan has ended") == 1
