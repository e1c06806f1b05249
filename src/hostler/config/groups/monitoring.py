"""Options of those who gather logs and numbers."""

from hostler.config.kinds import Choice, Many, Maybe, Switch, Text
from hostler.config.option import Group, Option
from hostler.config.subjects import LogConfig, StatsdAddress, SyslogAddress

__all__ = ["Monitoring"]

_FACILITIES = (
    "auth", "authpriv", "cron", "daemon", "ftp", "kern", "lpr", "mail", "news", "security", "syslog", "user", "uucp",
    "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
)  # fmt: skip


class Monitoring(Group):
    """Where logs and numbers go beside files."""

    __slots__ = ()

    heading = "Monitoring"
    about = "For what gathers logs and numbers of many servers."

    log_config = Option(
        Maybe(LogConfig()),
        "none",
        "A configuration for Python's logging: an INI file, a JSON file, or a table in the form of dictConfig. It is "
        "applied when the server starts, and at a reload, before the application is imported. The error log then goes "
        "to the logger hostler.error (or gunicorn.error, where that is the one it has), and the access log to "
        "hostler.access (gunicorn.access) if it has one.",
        gunicorn="logconfig logconfig_dict logconfig_json log_config log_config_json",
        uvicorn="log_config",
    )
    syslog = Option(
        Maybe(SyslogAddress(), word="off"),
        "off",
        "Send the logs to syslog too: udp://host:port, tcp://host:port, or unix:///dev/log, which may end in "
        "#stream or #dgram.",
        gunicorn="syslog syslog_addr log_syslog log_syslog_to",
        uwsgi="logger_syslog",
    )
    syslog_access = Option(
        Switch(),
        "on",
        "Whether the access log goes there as well.",
        gunicorn="disable_redirect_access_to_syslog",
    )
    syslog_prefix = Option(
        Maybe(Text("NAME")),
        "none",
        "What lines in syslog begin with, before .error or .access; none: hostler.",
        gunicorn="syslog_prefix log_syslog_prefix",
    )
    syslog_facility = Option(
        Choice({name: name for name in _FACILITIES}),
        "user",
        "The facility of these lines.",
        gunicorn="syslog_facility log_syslog_facility",
    )
    statsd = Option(
        Maybe(StatsdAddress(), word="off"),
        "off",
        "Send numbers to StatsD each second, by gunicorn's names: host:port (UDP), or unix:///path (datagrams).",
        gunicorn="statsd_host",
        uwsgi="stats_push",
    )
    statsd_prefix = Option(
        Maybe(Text("NAME")),
        "none",
        "What these names begin with; a dot follows.",
        gunicorn="statsd_prefix",
    )
    statsd_tags = Option(
        Many(Text("TAG", "a tag such as env:live")),
        "none",
        "Tags for each of these numbers, as Datadog has them.",
        gunicorn="dogstatsd_tags",
    )
