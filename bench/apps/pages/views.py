"""The page and nothing else."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from pages.models import Horse


def stable(request: HttpRequest) -> HttpResponse:
    return render(request, "pages/stable.html", {"horses": Horse.objects.order_by("name")})
