"""Options that say how many requests run at once, and how many wait."""

from ostler.config.kinds import Whole
from ostler.config.option import Group, Option

__all__ = ["Workers"]


class Workers(Group):
    """Processes, threads and the queue in front of them."""

    __slots__ = ()

    heading = "Workers"
    about = "How many requests run at once, and what happens to those that come when all threads are busy."

    workers = Option(
        Whole(1, 1000),  # a slip of the finger must not fork until the machine is out of memory
        1,
        "How many worker processes run the application. One more CPU needs one more worker; requests that "
        "only wait (for a database, for another service) need threads instead.",
        short="-w",
        platform=("WEB_CONCURRENCY", "{}"),
        gunicorn="workers",
        uwsgi="processes workers p",
        uvicorn="workers",
    )
    threads = Option(
        Whole(1, 128),  # the scoreboard has 128 request records a worker
        8,
        "How many requests a worker runs at the same time. 1 is for applications that are not thread-safe: "
        "a worker then runs its requests strictly one after the other.",
        short="-t",
        gunicorn="threads",
        uwsgi="threads",
    )
    worker_connections = Option(
        Whole(1, 1_000_000),
        16384,
        "How many connections a worker keeps open, idle ones included. Those above it are answered 503 and closed.",
        gunicorn="worker_connections",
        uvicorn="limit_concurrency",
    )
    queue_size = Option(
        Whole(1, 1_000_000),
        1024,
        "How many requests, read whole, may wait in a worker for a thread. Those above it are answered 503.",
    )
    retry_after = Option(
        Whole(1, 86400),
        1,
        "What the Retry-After header of these 503 answers says.",
        unit="seconds",
    )
