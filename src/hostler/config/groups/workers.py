"""Options that say how many requests run at once, and how many wait."""

from hostler.config.kinds import AutoOr, Choice, Many, Path, Span, Switch, Volume, Whole
from hostler.config.option import Group, Option

__all__ = ["Workers"]


class Workers(Group):
    """Processes, threads and the queue in front of them."""

    __slots__ = ()

    heading = "Workers"
    about = "How many requests run at once, and what happens to those that come when all threads are busy."

    workers = Option(
        AutoOr(Whole(1, 1000)),  # a slip of the finger must not fork until the machine is out of memory
        1,
        "How many worker processes serve. Each loads the application and runs Python code on one processor at a time. "
        "An application that keeps something in its memory for later requests, or runs a timer of its own, needs 1. "
        "auto: from `min_workers` to `max_workers`, one more while all of them compute and requests wait, one fewer "
        "after a while of idleness; `min_workers` with `reload`. Where more than are set would help for 10 seconds, "
        "the log says so once.",
        short="-w",
        platform=("WEB_CONCURRENCY", "{}"),
        gunicorn="workers",
        uwsgi="processes workers p",
        uvicorn="workers",
        brief="processes; auto: as many as help [default: 1]",
    )
    min_workers = Option(
        Whole(1, 1000),
        1,
        "The fewest when `workers` is auto.",
        uwsgi="cheaper",
    )
    max_workers = Option(
        AutoOr(Whole(1, 1000)),
        "auto",
        "The most when `workers` is auto. auto: as many as there are processors for this process (affinity, cgroup), "
        "and as the memory allows (`memory_budget`, or nine tenths of the cgroup's limit).",
    )
    balance = Option(
        Choice({name: name for name in ("even", "packed", "kernel", "random")}),
        "even",
        "Which worker gets a connection. even: the one with the least to do, and of equals the one that has served "
        "least lately; a request that would wait goes to a worker that is idle, with its connection. packed: the first "
        "that is idle, so that the others stay so. kernel: the worker that it wakes, for good. random: any worker at "
        "any time, for tests. WebSockets stay where they began.",
    )
    preload = Option(
        Switch(),
        "off",
        "Import the application once, in a process of its own, and fork the workers from it: they start at once and "
        "share its memory. A reload imports it anew. Connections and threads that it opens while it is imported are "
        "not the workers' own.",
        gunicorn="preload_app",
        brief="import the application once for all workers",
    )
    reload_batch = Option(
        Whole(1, 1000),
        1,
        "How many workers a reload replaces at a time, each when its replacement is ready. More is faster and takes "
        "more memory meanwhile.",
    )
    touch_reload = Option(
        Many(Path("FILE", "a file")),
        "none",
        "Files whose change asks for a reload, looked at each second: a deployment touches one of them at its end.",
        uwsgi="touch_reload touch_chain_reload touch_workers_reload",
    )
    max_requests = Option(
        Whole(0, 1_000_000_000_000),
        0,
        "How many requests a worker runs before it is replaced, the replacement first: against applications that leak. "
        "0: no limit.",
        gunicorn="max_requests",
        uwsgi="max_requests",
        uvicorn="limit_max_requests",
    )
    max_requests_jitter = Option(
        Whole(0, 1_000_000_000_000),
        0,
        "Up to so many more, by chance, so that workers that began together are not replaced together.",
        gunicorn="max_requests_jitter",
        uwsgi="max_requests_delta",
        uvicorn="limit_max_requests_jitter",
    )
    max_rss = Option(
        Volume("0"),
        0,
        "How much resident memory a worker may have before it is replaced, the replacement first; looked at each "
        "second. 0: no limit.",
        uwsgi="reload_on_rss max_worker_rss",
    )
    max_pss = Option(
        Volume("0"),
        0,
        "The same for its proportional memory, which counts what it shares with others in part; looked at every "
        "10 seconds. 0: no limit.",
        uwsgi="reload_on_pss",
    )
    memory_budget = Option(
        Volume("0"),
        0,
        "How much memory all processes of the server may have together; looked at every 10 seconds. Above it the "
        "largest worker is replaced, at most one a minute. 0: no limit.",
    )
    max_lifetime = Option(
        Span("0", "365d"),
        "0",
        "How long a worker serves before it is replaced, the replacement first. 0: no limit.",
        uwsgi="max_worker_lifetime",
    )
    driver = Option(
        Choice({"threads": "threads", "gevent": "gevent"}),
        "threads",
        "What runs the requests of a worker: threads, or gevent's greenlets for applications that are "
        "monkey-patched already (needs hostler[gevent]).",
        gunicorn="worker_class",
        uwsgi="gevent",
    )
    loop = Option(
        Choice({"auto": "auto", "asyncio": "asyncio", "uvloop": "uvloop"}),
        "auto",
        "The event loop of ASGI applications; auto takes uvloop where it is installed (hostler[uvloop]).",
        uvicorn="loop",
    )
    loop_lag = Option(
        Span("0"),
        "1s",
        "How long code may block the event loop before it is logged, with its stack; 0: never.",
    )
    threads = Option(
        AutoOr(Whole(1, 256)),  # the scoreboard has 256 request records a worker
        "auto",
        "How many requests a worker runs at the same time. auto: one thread while requests are quick, more while "
        "they wait, up to `max_threads`. 1 is for applications that are not thread-safe: a worker then runs its "
        "requests strictly one after the other.",
        short="-t",
        gunicorn="threads",
        uwsgi="threads",
        brief="of a worker; auto: as many as help [default: auto]",
    )
    max_threads = Option(
        Whole(1, 256),
        256,
        "The most threads of a worker when `threads` is auto, and the most greenlets with the gevent driver: "
        "lower it to what the application's database can take.",
    )
    thread_idle = Option(
        Span("1s"),
        "20s",
        "How long a thread may have nothing to do before it ends and its memory goes back; one always stays.",
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
    queue_timeout = Option(
        Span("0"),
        "30s",
        "How long a request may wait for a thread; after it it is answered 503, and the application never sees it. "
        "0 lets it wait for ever.",
    )
    retry_after = Option(
        Whole(1, 86400),
        1,
        "What the Retry-After header of these 503 answers says.",
        unit="seconds",
    )
