"""Options of the server as a process among others."""

from hostler.config.kinds import Maybe, Name, Path, Permissions, Switch, Text
from hostler.config.option import Group, Option

__all__ = ["Process"]


class Process(Group):
    """Where the server's own files are."""

    __slots__ = ()

    heading = "Process"
    about = "The server's own files. It writes nothing to disk unless it is asked to."

    config = Option(
        Maybe(Path("FILE", "a file")),
        "none",
        "The configuration file: TOML, options at the top level, or in [tool.hostler] when it is named "
        "pyproject.toml. Without it ./hostler.toml is read, or else ./pyproject.toml when it has a "
        "[tool.hostler].",
        short="-c",
        gunicorn="config",
        uwsgi="ini yaml json xml",
        brief="options in TOML [default: ./hostler.toml]",
    )
    user = Option(
        Maybe(Name("USER", "a user of this system")),
        "none",
        "The user that the workers run as, by name or number, with its groups. Only root can choose another one; the "
        "arbiter stays what it is. Log files and unix sockets are given to that user.",
        gunicorn="user",
        uwsgi="uid",
    )
    group = Option(
        Maybe(Name("GROUP", "a group of this system")),
        "none",
        "The group that the workers run as, by name or number; without it that of `user`. It must be given where "
        "`user` is a number that this system has no entry for.",
        gunicorn="group",
        uwsgi="gid",
    )
    proc_name = Option(
        Maybe(Text("NAME")),
        "none",
        "What the processes are called in lists such as ps and top: this name, and the part of each. The whole is "
        "shown where the package setproctitle is installed (hostler[proc-name]), the first 15 characters elsewhere.",
        gunicorn="proc_name",
        uwsgi="procname procname_prefix auto_procname",
    )
    daemon = Option(
        Switch(),
        "off",
        "Run in the background. The command ends when the server serves, or with what has stopped it.",
        gunicorn="daemon",
        uwsgi="daemonize daemonize2",
    )
    umask = Option(
        Maybe(Permissions()),
        "none",
        "The permissions that new files of the server and the application do not have, such as 027; none leaves what "
        "the server was started with.",
        gunicorn="umask",
        uwsgi="umask",
    )
    pidfile = Option(
        Maybe(Path("FILE", "a file")),
        "none",
        "A file that holds the server's process id while it runs.",
        gunicorn="pidfile pid",
        uwsgi="pidfile pidfile2",
    )
    control = Option(
        Maybe(Path("NAME", "a path, or @name"), word="off"),
        "auto",
        "The unix socket that `hostler ctl` talks to; only the same user and root may. auto: an abstract name, which "
        "is no file. Where another process has that name, and elsewhere than on Linux, it is <pid>.sock in "
        "$XDG_RUNTIME_DIR/hostler, /run/hostler (root), /run/user/<uid>/hostler or /tmp/hostler-<uid>, the first of "
        "these that this user alone can change. A path is a file of mode 0600, made again within a second when it is "
        "deleted; @NAME is an abstract name. "
        "The server runs without it when it cannot be made, but not when another one has it.",
    )
