"""Options of the access log and the error log."""

from hostler.config.kinds import Choice, Maybe, Path, Switch
from hostler.config.option import Group, Option
from hostler.config.subjects import LogFormat

__all__ = ["Logs"]

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}  # the numbers of Python's logging


class Logs(Group):
    """What is written about requests and about the server itself."""

    __slots__ = ()

    heading = "Logs"
    about = "What is written down. Files are opened again on SIGUSR1, after logrotate has moved them."

    access_log = Option(
        Maybe(Path("FILE", 'a file, or "-" for standard output'), word="off"),
        "off",
        "A line for each request: to a file, or to standard output (-).",
        gunicorn="accesslog access_logfile",
        uwsgi="req_logger logto",
        uvicorn="access_log",
        brief='a line for each request; "-": standard output',
    )
    access_log_format = Option(
        LogFormat(),
        '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"',
        "The form of these lines: json, or text with gunicorn's atoms. json may have fields of its own: "
        "json user=%({x-user}i)s tenant=%({x-tenant}o)s. %(h)s client address, %(r)s request line, "
        "%(s)s status, %(b)s body bytes, %(D)s microseconds, %({x}i)s request header, %({x}o)s response header, "
        "%({x}e)s environ.",
        gunicorn="access_log_format access_logformat",
        uwsgi="log_format logformat",
    )
    error_log = Option(
        Path("FILE", 'a file, or "-" for standard error'),
        "-",
        "Where the server writes what happens to it, and what applications write to wsgi.errors: a file, or "
        "standard error (-).",
        gunicorn="errorlog error_logfile log_file",
        uwsgi="logger logto2",
    )
    error_log_format = Option(
        Choice({"text": "text", "json": "json"}),
        "text",
        "The form of the error log's lines: text, or json, an object for each with time, level, pid and message; "
        "tracebacks are part of the message. Lines that applications write to wsgi.errors become objects too, what "
        "they print (`capture_output`) does not.",
    )
    capture_output = Option(
        Switch(),
        "off",
        "Write what the workers print, on standard output and standard error, to the error log's file too.",
        gunicorn="capture_output",
    )
    log_level = Option(
        Choice(_LEVELS),
        "info",
        "The least important lines that the error log takes: debug, info, warning or error.",
        gunicorn="loglevel log_level",
        uvicorn="log_level",
        brief="the least that is written [default: info]",
    )
