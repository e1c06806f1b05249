"""Starts the servers that have no command of their own: `launch.py SERVER MODULE:APP PORT WORKERS`.

Nothing is imported but the server and the app, because memory is measured too.
"""

import importlib
import os
import sys
from typing import Any

HOST = "127.0.0.1"


def bjoern(app: Any, port: int, workers: int) -> None:
    import bjoern as server

    server.listen(app, HOST, port)
    for _ in range(workers - 1):
        if os.fork() == 0:
            break
    server.run()


def fastpysgi(app: Any, port: int, workers: int) -> None:
    import fastpysgi as server

    server.server.tcp_nodelay = 1
    server.server.max_content_length = 1 << 30
    server.run(app, host=HOST, port=port, workers=workers)


def fastwsgi(app: Any, port: int, workers: int) -> None:
    import fastwsgi as server

    server.run(app, host=HOST, port=port)


def cheroot(app: Any, port: int, workers: int, threads: int = 1) -> None:
    from cheroot.wsgi import Server

    server = Server((HOST, port), app, numthreads=threads, request_queue_size=2048, timeout=75)
    server.keep_alive_conn_limit = 20_000  # the default keeps 10 and closes the others
    server.safe_start()


if __name__ == "__main__":
    name, target, port, workers = sys.argv[1:]
    module, _, attribute = target.partition(":")
    name, _, threads = name.partition("-")
    more = [int(threads)] if threads else []
    globals()[name](getattr(importlib.import_module(module), attribute), int(port), int(workers), *more)
