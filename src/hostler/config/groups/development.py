"""Options for those who write the application."""

from hostler.config.kinds import Many, Path, Switch
from hostler.config.option import Group, Option

__all__ = ["Development"]


class Development(Group):
    """What happens when the code changes."""

    __slots__ = ()

    heading = "Development"
    about = "For those who write the application: not for a server that others use."

    reload = Option(
        Switch(),
        "off",
        "Start the workers anew when Python files below the current directory or `pythonpath` change; requests wait "
        "until the new code is there, and are answered with the traceback when it cannot be imported. Changes are "
        "noticed at once with the package watchfiles (hostler[reload]), within a second without it.",
        gunicorn="reload",
        uwsgi="py_autoreload py_auto_reload",
        uvicorn="reload",
        brief="start anew when a Python file changes",
    )
    reload_extra_files = Option(
        Many(Path("FILE", "a file")),
        "none",
        "Files that are watched too, templates for example; * and ** stand for any names.",
        gunicorn="reload_extra_files reload_extra_file",
        uwsgi="fs_reload",
        uvicorn="reload_include",
    )
