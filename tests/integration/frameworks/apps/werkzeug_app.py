"""Werkzeug without a framework: its test app, its stream limits, its dispatcher, its shared data."""

from __future__ import annotations

import os
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.lint import LintMiddleware
from werkzeug.middleware.shared_data import SharedDataMiddleware
from werkzeug.testapp import test_app
from werkzeug.wrappers import Request, Response


@Request.application
def echo(request: Request) -> Response:
    request.max_content_length = 500_000
    try:
        data = request.get_data()
    except RequestEntityTooLarge as error:
        return Response(str(error.code), 413)
    return Response(data, headers={"X-Mount": request.root_path, "X-Path": request.path})


@Request.application
def parts(request: Request) -> Response:
    """Lines of the body, made into a stream."""
    return Response(line.upper() for line in request.stream)


@Request.application
def failing(request: Request) -> Response | HTTPException:
    raise RuntimeError("on purpose")


def linted(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "6")])
    return [b"linted"]


mounts: dict[str, WSGIApplication] = {
    "/echo": echo,
    "/parts": parts,
    "/fail": failing,
    "/lint": LintMiddleware(linted),
    "/deep/mount": echo,
}
application = SharedDataMiddleware(
    DispatcherMiddleware(test_app, mounts),
    {"/static": os.path.dirname(__file__)},
)
