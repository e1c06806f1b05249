"""Addresses of the demo's WebSockets."""

from django.urls import path

from pages.consumers import Live

websocket_urlpatterns = [
    path("live/ticks/", Live.as_asgi()),
]
