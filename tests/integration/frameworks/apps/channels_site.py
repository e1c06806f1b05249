"""A Django site by WSGI and ASGI with Channels: a chat over a layer, in memory or in Redis (REDIS_URL)."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import AsyncIterator
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse

REDIS = os.environ.get("REDIS_URL")
LAYER: dict[str, Any] = {"BACKEND": "channels.layers.InMemoryChannelLayer"}
if REDIS:
    LAYER = {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": {"hosts": [REDIS]}}

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="only for tests",
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    CHANNEL_LAYERS={"default": LAYER},
    INSTALLED_APPS=["channels"],
)

import django  # noqa: E402

django.setup()

import asyncio  # noqa: E402

from asgiref.sync import async_to_sync  # noqa: E402
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer  # noqa: E402
from channels.layers import get_channel_layer  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.core.asgi import get_asgi_application  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.urls import path  # noqa: E402


def which(request: HttpRequest) -> HttpResponse:
    kind = "asgi" if hasattr(request, "scope") else "wsgi"
    return JsonResponse({"kind": kind, "script": request.META.get("SCRIPT_NAME"), "path": request.path_info})


def sleeps(request: HttpRequest) -> HttpResponse:
    time.sleep(float(request.GET.get("seconds", "1")))
    return HttpResponse("slept")


async def asynchronous(request: HttpRequest) -> HttpResponse:
    await asyncio.sleep(0.01)
    return HttpResponse("async")


async def stream(request: HttpRequest) -> StreamingHttpResponse:
    async def parts() -> AsyncIterator[bytes]:
        for number in range(4):
            yield f"{number} ".encode()
            await asyncio.sleep(0.01)

    return StreamingHttpResponse(parts())


def upload(request: HttpRequest) -> HttpResponse:
    content = request.FILES["file"].read()
    return JsonResponse({"size": len(content), "digest": hashlib.sha256(content).hexdigest()})


def announce(request: HttpRequest) -> HttpResponse:
    """From a view to every member of the room."""
    layer = get_channel_layer()
    async_to_sync(layer.group_send)("room", {"type": "chat.message", "text": request.GET["text"]})
    return HttpResponse("announced")


class Chat(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        await self.channel_layer.group_add("room", self.channel_name)
        await self.accept()
        await self.send(json.dumps({"joined": self.scope["url_route"]["kwargs"]["name"]}))

    async def disconnect(self, code: int) -> None:
        await self.channel_layer.group_discard("room", self.channel_name)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.channel_layer.group_send("room", {"type": "chat.message", "text": text_data})

    async def chat_message(self, event: dict[str, Any]) -> None:
        await self.send(event["text"])


class Echo(WebsocketConsumer):
    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        self.send(text_data, bytes_data)


urlpatterns = [
    path("which", which),
    path("sleeps", sleeps),
    path("async", asynchronous),
    path("stream", stream),
    path("upload", upload),
    path("announce", announce),
]
wsgi = get_wsgi_application()
application = ProtocolTypeRouter(
    {
        "http": get_asgi_application(),
        "websocket": URLRouter([path("chat/<str:name>", Chat.as_asgi()), path("echo", Echo.as_asgi())]),
    }
)
