"""Addresses of the demo's pages."""

from django.urls import path

from pages import views

urlpatterns = [
    path("", views.front, name="front"),
    path("slow/", views.slow, name="slow"),
    path("self/", views.self_call, name="self-call"),
    path("self/hops/", views.hops, name="hops"),
    path("documents/", views.documents, name="documents"),
    path("documents/<int:pk>/", views.document, name="document"),
    path("source/", views.source, name="source"),
    path("stream/", views.stream, name="stream"),
    path("live/", views.live, name="live"),
    path("error/", views.error, name="error"),
]
