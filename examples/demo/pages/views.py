"""One view for each thing that an application server has to do well."""

import time
from collections.abc import Iterator
from pathlib import Path

from django.http import (
    FileResponse,
    HttpRequest,
    HttpResponse,
    JsonResponse,
    StreamingHttpResponse,
)
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from pages import selfcall
from pages.forms import DocumentForm
from pages.models import Document

STREAM_LINES = 10
STREAM_PAUSE = 0.2  # seconds between two lines


@require_safe
def front(request: HttpRequest) -> HttpResponse:
    """The front page: links to all the others."""
    return render(request, "pages/front.html", {"max_depth": selfcall.MAX_DEPTH})


@require_safe
def slow(request: HttpRequest) -> HttpResponse:
    """Takes a second to answer, as if a database did. Other requests go on meanwhile."""
    began = time.monotonic()
    time.sleep(1)
    return render(request, "pages/slow.html", {"seconds": time.monotonic() - began})


@require_safe
def live(request: HttpRequest) -> HttpResponse:
    """A page whose WebSocket Channels serves, on the same port."""
    return render(request, "pages/live.html")


@require_safe
def self_call(request: HttpRequest) -> HttpResponse:
    """Calls this server over HTTP before it answers, `?depth=N` calls deep."""
    depth = selfcall.depth_of(request)
    context: dict[str, object] = {"depth": depth, "max_depth": selfcall.MAX_DEPTH}
    began = time.monotonic()
    try:
        context["hops"] = selfcall.call(request, depth) if depth else []
    except OSError as error:  # URLError and a timeout are both OSErrors
        context["error"] = error
        status = getattr(error, "code", 504)  # what we answered ourselves: 503 from a server with a single thread
        return render(request, "pages/self_call.html", context, status=status)
    context["elapsed"] = (time.monotonic() - began) * 1000
    return render(request, "pages/self_call.html", context)


@require_safe
def hops(request: HttpRequest) -> HttpResponse:
    """The inner calls of `self_call`, as JSON."""
    try:
        return JsonResponse({"hops": selfcall.hops(request, selfcall.depth_of(request))})
    except OSError as error:
        return JsonResponse({"error": str(error)}, status=504)


@require_http_methods(["GET", "HEAD", "POST"])
def documents(request: HttpRequest) -> HttpResponse:
    """A form that uploads a file, and the files that are there."""
    form = DocumentForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        form.save()
        return redirect("documents")
    context = {"form": form, "documents": Document.objects.all()[:20]}
    return render(request, "pages/documents.html", context)


@require_safe
def document(request: HttpRequest, pk: int) -> FileResponse:
    """Downloads an uploaded file.

    Always as an attachment: what a stranger uploaded must not run as a page of this site.
    FileResponse uses wsgi.file_wrapper, so the file does not pass through Python.
    """
    stored = get_object_or_404(Document, pk=pk)
    name = Path(stored.file.name).name
    return FileResponse(stored.file.open("rb"), as_attachment=True, filename=name)


@require_safe
def source(request: HttpRequest) -> FileResponse:
    """Downloads this very file."""
    return FileResponse(Path(__file__).open("rb"), as_attachment=True, filename="views.py")


@require_safe
def stream(request: HttpRequest) -> StreamingHttpResponse:
    """Sends a line every 0.2 s; each arrives when it is made."""

    def lines() -> Iterator[str]:
        for number in range(1, STREAM_LINES + 1):
            yield f"line {number} of {STREAM_LINES}\n"
            time.sleep(STREAM_PAUSE)

    return StreamingHttpResponse(lines(), content_type="text/plain; charset=utf-8")


@require_safe
def error(request: HttpRequest) -> HttpResponse:
    """Fails. The visitor gets a 500, the log gets the traceback."""
    raise RuntimeError("this page always fails")
