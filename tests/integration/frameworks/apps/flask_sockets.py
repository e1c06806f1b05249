"""WebSockets in WSGI apps: flask-sock and Flask-SocketIO, both on the raw socket of the request."""

from __future__ import annotations

import os
from typing import Any

from flask import Flask
from flask_sock import Sock
from flask_socketio import SocketIO, emit

application = Flask(__name__)
sock = Sock(application)
# How long a poll waits, and a WebSocket is silent: the default.
ping_interval = float(os.environ.get("PING_INTERVAL", 25))
socketio = SocketIO(application, async_mode="threading", ping_interval=ping_interval)


@application.get("/")
def hello() -> str:
    return "hello"


@sock.route("/echo")  # type: ignore[untyped-decorator]
def echo(ws: Any) -> None:
    while (text := ws.receive()) != "end":
        ws.send(f"{text}!")


@socketio.on("pid")  # type: ignore[untyped-decorator]
def pid() -> int:
    return os.getpid()


@socketio.on("shout")  # type: ignore[untyped-decorator]
def shout(text: str) -> int:
    emit("heard", text.upper())
    return len(text)
