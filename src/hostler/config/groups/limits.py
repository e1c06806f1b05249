"""Options that bound what one request or response may take."""

from hostler.config.kinds import Maybe, Path, Volume, Whole
from hostler.config.option import Group, Option

__all__ = ["Limits"]


class Limits(Group):
    """The size of what a client sends, and of what is kept for it."""

    __slots__ = ()

    heading = "Limits"
    about = (
        "What one request or response may take. Limits are counted while bytes arrive: what is too large is "
        "refused with the status below and a line in the error log, never collected first."
    )

    limit_request_line = Option(
        Volume("64", "64K"),
        "8K",
        "The longest request line (method, target, version); 414 above it.",
        gunicorn="limit_request_line",
    )
    limit_request_head = Option(
        Volume("256", "1M"),
        "32K",
        "The largest request head: request line and all header fields together; 431 above it.",
        gunicorn="limit_request_field_size",
        uwsgi="buffer_size",
        uvicorn="h11_max_incomplete_event_size",
    )
    limit_request_fields = Option(
        Whole(1, 32768),
        100,
        "The most header fields of a request; 431 above it.",
        gunicorn="limit_request_fields",
    )
    limit_request_body = Option(
        Volume("1"),
        "1G",
        "The largest request body; 413 above it.",
        uwsgi="limit_post",
    )
    body_memory = Option(
        Volume("1", "1G"),
        "256K",
        "Request bodies up to this size are kept in memory until the application has read them, larger ones "
        "in a temporary file without a name.",
        uwsgi="post_buffering",
    )
    temp_dir = Option(
        Maybe(Path("DIR", "a directory")),
        "none",
        "Where these temporary files are made; none: the system's directory (TMPDIR, or /tmp).",
        gunicorn="tmp_upload_dir",
    )
    response_buffer = Option(
        Volume("4K", "1G"),
        "1M",
        "How much of a response is kept for a slow client so that the application's thread is free. The "
        "thread of a larger one waits until the rest fits.",
    )
