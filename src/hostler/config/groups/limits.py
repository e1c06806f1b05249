"""Options that bound what one request or response may take."""

from hostler.config.kinds import AutoOr, Maybe, Path, Volume, Whole
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
        "Where temporary files of bodies and responses are made; none: the system's directory (TMPDIR, or /tmp).",
        gunicorn="tmp_upload_dir",
    )
    response_buffer = Option(
        Volume("4K", "1G"),
        "1M",
        "How much of a streamed response is kept in memory for a slow client. More goes to a temporary file, up to "
        "`response_file`; of an ASGI application `send()` waits instead.",
    )
    response_file = Option(
        Volume("0"),
        "1G",
        "How much of one response may wait in a temporary file (without a name, in `temp_dir`), so that the thread "
        "of the application is free. Beyond it the thread waits for the client. 0: no response goes to a file.",
    )
    response_memory = Option(
        AutoOr(Volume("1M")),
        "auto",
        "How much all responses that slow clients have not taken yet may hold in the memory of one worker, whole "
        "bodies included. Beyond it each keeps 16 KB; the rest goes to temporary files, or applications wait. auto: a "
        "32nd of the memory of the machine or of the control group, from 16 MB to 256 MB.",
    )
