"""A falcon app: media, streams of its own making, and errors."""

from __future__ import annotations

import io
from collections.abc import Iterator

import falcon


class Media:
    """Gives back what it was sent."""

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = {"media": req.get_media(), "length": req.content_length}

    def on_put(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.data = req.bounded_stream.read()


class Form:
    """Multipart, read as it comes."""

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = {part.name: len(part.stream.read()) for part in req.get_media()}


class Stream:
    """A file-like object, which falcon hands to `wsgi.file_wrapper`; or a generator."""

    def on_get(self, req: falcon.Request, resp: falcon.Response, kind: str) -> None:
        if kind == "file":
            resp.set_stream(open(__file__, "rb"), len(SOURCE))  # noqa: SIM115 (it is closed with the response)
        elif kind == "memory":
            resp.set_stream(io.BytesIO(SOURCE), len(SOURCE))
        else:
            resp.stream = self.parts(kind)

    def parts(self, kind: str) -> Iterator[bytes]:
        yield b"as far "
        yield b"as here"
        if kind == "broken":
            raise RuntimeError("the stream broke")


class Failing:
    """Errors: falcon's own, and ours."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        if req.get_param("kind") == "gone":
            raise falcon.HTTPGone(title="No more")
        raise RuntimeError("on purpose")


with open(__file__, "rb") as source:
    SOURCE = source.read()
application = falcon.App()
application.add_route("/media", Media())
application.add_route("/form", Form())
application.add_route("/stream/{kind}", Stream())
application.add_route("/fail", Failing())
