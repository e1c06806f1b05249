"""A Django project in one file: pages, streams, uploads, files and errors, all by Django's own means."""

from __future__ import annotations

import hashlib
import io
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.core import signals
from django.core.exceptions import SuspiciousOperation
from django.core.handlers.wsgi import WSGIHandler
from django.http import FileResponse, Http404, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path, re_path

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    DATA_UPLOAD_MAX_MEMORY_SIZE=100_000,
    DEBUG=False,
    FILE_UPLOAD_MAX_MEMORY_SIZE=10_000,
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.middleware.gzip.GZipMiddleware",
        "django.middleware.http.ConditionalGetMiddleware",
        "django.middleware.common.CommonMiddleware",
    ],
    ROOT_URLCONF=__name__,
    SECRET_KEY="tests",
    USE_TZ=True,
)
django.setup()

happened: Counter[str] = Counter()
go = threading.Event()
LARGE = Path(__file__).read_bytes() * 200


def count(name: str) -> Callable[..., None]:
    def receive(**_: Any) -> None:
        happened[name] += 1

    return receive


signals.request_started.connect(count("started"), weak=False)
signals.request_finished.connect(count("finished"), weak=False)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def told(request: Any) -> Any:
    return JsonResponse(happened)


def page(request: Any, name: str) -> Any:
    response = HttpResponse(f"{request.method} {name} {request.GET.get('q', '')} {request.build_absolute_uri()}")
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return response


def stream(request: Any) -> Any:
    def parts() -> Iterator[bytes]:
        yield b"first"
        go.wait(10)
        yield b"second"

    return StreamingHttpResponse(parts())


def release(request: Any) -> Any:
    go.set()
    return HttpResponse("released")


def endless(request: Any) -> Any:
    def parts() -> Iterator[bytes]:
        try:
            while True:
                yield b"x" * 10_000
        finally:
            happened["endless ended"] += 1

    return StreamingHttpResponse(parts())


def broken(request: Any) -> Any:
    def parts() -> Iterator[bytes]:
        yield b"as far as here"
        raise RuntimeError("the stream broke")

    return StreamingHttpResponse(parts())


def upload(request: Any) -> Any:
    files = {name: [type(file).__name__, digest(file.read())] for name, file in request.FILES.items()}
    return JsonResponse({"fields": request.POST.dict(), "files": files})


def body(request: Any) -> Any:
    return HttpResponse(digest(request.body))


def pieces(request: Any) -> Any:
    found = hashlib.sha256()
    while piece := request.read(1000):
        found.update(piece)
    return HttpResponse(found.hexdigest())


def file(request: Any) -> Any:
    return FileResponse(open(__file__, "rb"), as_attachment=True)


def large(request: Any) -> Any:
    return FileResponse(io.BytesIO(LARGE), filename="large.bin")


def zipped(request: Any) -> Any:
    return HttpResponse("so long that it pays to compress it. " * 100)


def fail(request: Any, kind: str) -> Any:
    raise {"error": RuntimeError, "missing": Http404, "odd": SuspiciousOperation}[kind]("on purpose")


urlpatterns = [
    path("told", told),
    re_path(r"^page/(.+)$", page),
    path("stream", stream),
    path("release", release),
    path("endless", endless),
    path("broken", broken),
    path("upload", upload),
    path("body", body),
    path("pieces", pieces),
    path("file", file),
    path("large", large),
    path("zipped", zipped),
    path("fail/<kind>", fail),
]
application = WSGIHandler()
