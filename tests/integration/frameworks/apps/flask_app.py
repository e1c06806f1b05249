"""A Flask app as one writes them: JSON, streams, uploads, cookies, sessions, files and errors."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from typing import Any

from flask import Flask, Response, abort, jsonify, request, send_file, session, stream_with_context

application = Flask(__name__)
application.config["MAX_CONTENT_LENGTH"] = 2_000_000
application.secret_key = "tests"
go = threading.Event()
ended: list[str] = []


@application.route("/json/<path:rest>", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
def as_json(rest: str) -> Any:
    return jsonify(
        args=request.args.to_dict(),
        client=request.remote_addr,
        json=request.get_json(silent=True),
        method=request.method,
        path=rest,
        url=request.url,
    )


@application.get("/stream")
def stream() -> Response:
    def parts() -> Iterator[str]:
        yield "first"
        go.wait(10)
        yield request.args["last"]

    return Response(stream_with_context(parts()), content_type="text/plain")


@application.get("/release")
def release() -> str:
    go.set()
    return "released"


@application.get("/endless")
def endless() -> Response:
    response = Response((b"x" * 10_000 for _ in iter(int, 1)), content_type="application/octet-stream")
    response.call_on_close(lambda: ended.append("endless"))
    return response


@application.get("/ended")
def tell_ended() -> Any:
    return jsonify(ended)


@application.get("/broken")
def broken() -> Response:
    def parts() -> Iterator[bytes]:
        yield b"as far as here"
        raise RuntimeError("the stream broke")

    return Response(parts())


@application.post("/upload")
def upload() -> Any:
    files = {name: hashlib.sha256(file.read()).hexdigest() for name, file in request.files.items()}
    return jsonify(fields=request.form.to_dict(), files=files)


@application.post("/echo")
def echo() -> Response:
    def parts() -> Iterator[bytes]:
        while piece := request.stream.read(4096):
            yield piece

    return Response(stream_with_context(parts()), content_type="application/octet-stream")


@application.get("/count")
def count() -> str:
    session["count"] = session.get("count", 0) + 1
    return str(session["count"])


@application.get("/file")
def file() -> Response:
    return send_file(__file__, mimetype="text/plain")


@application.get("/fail")
def fail() -> str:
    raise RuntimeError("on purpose")


@application.get("/teapot")
def teapot() -> Response:
    abort(418)


@application.get("/empty")
def empty() -> tuple[str, int]:
    return "", 204
