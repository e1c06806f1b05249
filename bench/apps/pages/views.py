"""The page, and one that asks the database three times and waits in between."""

from __future__ import annotations

import time

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from pages.models import Horse


def stable(request: HttpRequest) -> HttpResponse:
    return render(request, "pages/stable.html", {"horses": Horse.objects.order_by("name")})


def wait(request: HttpRequest) -> HttpResponse:
    count = Horse.objects.count()
    first = Horse.objects.order_by("name").first()
    time.sleep(0.02)  # another service
    dearest = Horse.objects.order_by("-price").values_list("name", flat=True)[0]
    return HttpResponse(f"horses: {count}, first {first}, dearest {dearest}", content_type="text/plain")
