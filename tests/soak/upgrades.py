"""Upgrades under load: `python -m tests.soak.upgrades [UPGRADES]`, then as many with a version that does not start.

The load is that of tests.soak.reloads. No request may fail, and a failed upgrade must leave the old server as it was.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.integration.helpers import Serve, Server
from tests.soak.reloads import PAGE, STEADY, Load


async def upgrade(pid: int) -> tuple[int, str]:
    command = [sys.executable, "-m", "hostler", "upgrade", "--pid", str(pid)]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
    output, errors = await process.communicate()
    return process.returncode or 0, (output or errors).decode()


async def run(serve: Serve, server: Server, upgrades: int, pids: list[int]) -> int:
    load = Load(server.port)
    clients = load.start()
    await asyncio.sleep(STEADY)
    began = time.monotonic()
    for number in range(1, upgrades + 1):
        serve.source(PAGE.replace("VERSION", str(number)))
        code, said = await upgrade(pids[-1])
        if code != 0:
            load.failures.append(f"upgrade {number}: {said}")
            break
        pids.append(int(said.split()[5]))
    print(f"{upgrades} upgrades, {len(load.times)} answered, {len(load.failures)} failed", flush=True)
    serve.source("import nowhere")
    for number in range(1, upgrades + 1):
        code, said = await upgrade(pids[-1])
        if code == 0 or "this one serves on" not in said:
            load.failures.append(f"broken upgrade {number}: {said}")
    await asyncio.sleep(1)
    load.is_over = True
    await asyncio.gather(*clients)
    steady, during = load.percentiles(began)
    for failure in load.failures[:10]:
        print(f"  {failure}")
    print(f"and {upgrades} broken ones: {len(load.times)} answered, {len(load.failures)} failed")
    print(f"p99 {steady * 1000:.1f} ms before, {during * 1000:.1f} ms meanwhile ({during / steady:.2f}x)")
    return 1 if load.failures else 0


def main(upgrades: int) -> int:
    """Run, report, and return the exit code."""
    with tempfile.TemporaryDirectory() as directory:
        serve = Serve(Path(directory))
        server = serve(serve.source(PAGE), "--workers", "2")
        pids = [server.pid]
        try:
            return asyncio.run(run(serve, server, upgrades, pids))
        finally:
            try:
                os.kill(pids[-1], signal.SIGTERM)
            except ProcessLookupError:
                pass
            server.wait_gone(within=40)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 20))
