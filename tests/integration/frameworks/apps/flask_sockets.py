"""WebSockets in WSGI apps: flask-sock and Flask-SocketIO, both on the raw socket of the request."""

from __future__ import annotations

from typing import Any

from flask import Flask
from flask_sock import Sock
from flask_socketio import SocketIO, emit

application = Flask(__name__)
sock = Sock(application)
socketio = SocketIO(application, async_mode="threading")


@application.get("/")
def hello() -> str:
    return "hello"


@sock.route("/echo")  # type: ignore[untyped-decorator]
def echo(ws: Any) -> None:
    while (text := ws.receive()) != "end":
        ws.send(f"{text}!")


@socketio.on("shout")  # type: ignore[untyped-decorator]
def shout(text: str) -> int:
    emit("heard", text.upper())
    return len(text)
