"""One page."""

from __future__ import annotations

from django.urls import path

from pages.views import stable

urlpatterns = [path("", stable, name="stable")]
