"""A page with a form, and an export that takes as long as the file `go` is not there."""

import time
from collections.abc import Iterator

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.shortcuts import render

from .models import Note


def notes(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        Note.objects.create(text=request.POST["text"])
        messages.success(request, "The note is kept.")
        return HttpResponseRedirect(request.path)
    return render(request, "notes.html", {"notes": Note.objects.all(), "secure": request.is_secure()})


def export(request: HttpRequest) -> StreamingHttpResponse:
    def lines() -> Iterator[str]:
        yield "first\n"
        while not (settings.BASE_DIR / "go").exists():
            time.sleep(0.01)
        yield "last\n"

    return StreamingHttpResponse(lines(), content_type="text/plain")
