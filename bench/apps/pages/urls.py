"""One page, and one that waits."""

from __future__ import annotations

from django.urls import path

from pages.views import stable, wait

urlpatterns = [path("", stable, name="stable"), path("wait", wait)]
